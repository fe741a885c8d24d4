"""The ONNX Runtime engine: CPU, CUDA, TensorRT. The only module that imports `onnxruntime`.

Quantization and the import of ONNX files use it too: to open graphs from bytes, and to read outputs other than the
logits.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgecnn.errors import DeviceUnavailable, EngineError, PrecisionUnavailable
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.cache import CacheSlot
from edgecnn.runtime.engines.engine import (
    Device,
    Precision,
    SessionInfo,
    SessionOptions,
    check_process,
    deliver,
    device_index,
    device_kind,
)
from edgecnn.runtime.engines.refusal import load_error

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("fp32",),  # its convolutions do not support bfloat16
    "cuda": ("fp32", "tf32"),
    "tensorrt": ("fp32", "fp16"),
}
_HAS_CACHE = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= (1, 32)
"""Earlier versions crash when a graph runs whose packed weights come from a file."""
_FOUR_BITS_SINCE = "1.17"
_LOG_ERRORS = 3
_CLOSED = "this session is closed: open the bundle again"
_UINT8 = np.dtype(np.uint8)
_COPIED_BYTES = 1 << 18
"""Largest image that is copied to bound memory. The copy of a larger one takes longer than it saves."""
_OPTIMIZED, _PACKED = "model.onnx", "weights.bin"
"""Files of a compiled graph. The weights are stored in the kernels' layout, which makes loading fast."""


class OnnxRuntimeEngine:
    """ONNX Runtime."""

    name = "onnxruntime"
    version = onnxruntime.__version__
    symmetric_int8_only = frozenset({"tensorrt"})
    has_exact_int8 = True
    packs_in_first_run = False

    def devices(self) -> tuple[Device, ...]:
        """Return the devices whose execution provider is in this build. `open` checks whether the hardware exists."""
        available = onnxruntime.get_available_providers()
        return tuple(Device(kind, provider) for kind, provider in _PROVIDERS.items() if provider in available)

    def default_precision(self, model: Path, device: str) -> Precision | None:
        """See `Engine.default_precision`. On GPUs the engine does not report it."""
        return "fp32" if device_kind(device) == "cpu" else None

    def open(self, model: Path | bytes, options: SessionOptions) -> "OnnxRuntimeSession":
        """Open a graph from a file or from bytes; see `Engine.open`."""
        kind = device_kind(options.device)
        self._check(kind, options)
        cache = options.cache if _HAS_CACHE and kind == "cpu" else None
        session = _load_cached(model, options, cache) if cache else None
        session = session or _load(model, _settings(options), options)
        session.disable_fallback()
        if session.get_providers()[0] != _PROVIDERS[kind]:
            raise DeviceUnavailable(
                f"ONNX Runtime opened {session.get_providers()[0]} instead of {_PROVIDERS[kind]}: "
                f"check the driver, or use --device cpu"
            )
        threads = session.get_session_options().intra_op_num_threads
        info = SessionInfo(self.name, self.version, options.device, options.precision, threads)
        return OnnxRuntimeSession(session, info, options.instances)

    def _check(self, kind: str, options: SessionOptions) -> None:
        found = [device.name for device in self.devices()]
        if kind not in found:
            package = "; CUDA and TensorRT need onnxruntime-gpu instead of onnxruntime" if kind in _PROVIDERS else ""
            raise DeviceUnavailable(
                f"ONNX Runtime has no device {options.device!r} in this build, only {', '.join(found)}{package}"
            )
        if options.precision not in _PRECISIONS[kind]:
            raise PrecisionUnavailable(
                f"ONNX Runtime on {kind} supports {' or '.join(_PRECISIONS[kind])}, not {options.precision}: "
                f"use --precision {_PRECISIONS[kind][0]}"
            )


def open_unoptimized(model: bytes, *, threads: int | None = None) -> "OnnxRuntimeSession":
    """Open a graph from bytes on the CPU, without any graph optimization: each node runs as it is in the file.

    Raises:
        EngineError: ONNX Runtime rejected the graph.
    """
    options = SessionOptions(threads=threads)
    settings = _settings(options)
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _load(model, settings, options)
    info = SessionInfo("onnxruntime", onnxruntime.__version__, "cpu", "fp32", settings.intra_op_num_threads)
    return OnnxRuntimeSession(session, info, 1)


class OnnxRuntimeSession:
    """A graph opened in ONNX Runtime. Any number of threads can run it at once."""

    def __init__(self, session: Any, info: SessionInfo, instances: int) -> None:
        self.info = info
        self.instances = instances
        self._session = session
        self._process = os.getpid()
        self._input = session.get_inputs()[0].name
        self._image: tuple[int, ...] | None = None  # shape of the images in `_bindings`
        self._bindings: list[_Binding] = []  # those that no thread uses

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        if images.shape == self._image and images.dtype == _UINT8:
            return self._run_bound(images, out)
        found = self.outputs(None, images)[0]
        if len(images) == 1 and images.nbytes <= _COPIED_BYTES and self.info.device == "cpu":
            self._image = images.shape  # the engine accepts it
        return deliver(found, out)

    def _run_bound(self, images: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Run one image from memory that is bound already, which saves 3 µs."""
        session = self._session
        if session is None:
            raise EngineError(_CLOSED)
        check_process(self._process)
        try:
            binding = self._bindings.pop()
        except IndexError:
            binding = _Binding(session, images)
        try:
            logits = binding.run(images)
        except Exception as error:  # see `_load`
            raise EngineError(f"ONNX Runtime failed: {_one_line(error)}") from None
        found = logits.copy() if out is None else deliver(logits, out)
        self._bindings.append(binding)
        return found

    def outputs(self, names: Sequence[str] | None, images: np.ndarray) -> list[np.ndarray]:
        """Return the named outputs of the graph, or all outputs, for uint8 [N, H, W, C].

        Raises:
            EngineError: the engine failed, or the images have another shape or dtype.
        """
        session = self._session
        if session is None:
            raise EngineError(_CLOSED)
        check_process(self._process)
        try:
            values = session.run(names, {self._input: np.ascontiguousarray(images)})
        except Exception as error:  # see `_load`
            raise EngineError(f"ONNX Runtime failed: {_one_line(error)}") from None
        return [np.asarray(value) for value in values]

    def close(self) -> None:
        """See `Session.close`."""
        self._session = self._image = None
        self._bindings = []


class _Binding:
    """Memory for one image and its logits, which one thread at a time uses."""

    def __init__(self, session: Any, images: np.ndarray) -> None:
        """Bind memory to a session that has run images of this shape."""
        self._session = session  # a run in progress uses it after `close`
        self._images = np.empty(images.shape, np.uint8)
        self._binding = session.io_binding()
        self._binding.bind_cpu_input(session.get_inputs()[0].name, self._images)
        self._binding.bind_output(session.get_outputs()[0].name, "cpu")
        self._logits: np.ndarray | None = None

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return the logits in the memory of this binding."""
        np.copyto(self._images, images)
        self._session.run_with_iobinding(self._binding)
        if self._logits is None:
            self._logits = self._bind_logits()
        return self._logits

    def _bind_logits(self) -> np.ndarray:
        """Bind memory for logits of the shape that the engine returned, and return the logits."""
        logits: np.ndarray = self._binding.copy_outputs_to_cpu()[0]
        output = self._session.get_outputs()[0].name
        self._binding.bind_output(output, "cpu", 0, logits.dtype, logits.shape, logits.ctypes.data)
        return logits


def _load(model: Path | bytes, settings: Any, options: SessionOptions) -> Any:
    kind = device_kind(options.device)
    provider = (_PROVIDERS[kind], _provider_options(kind, options))
    try:
        source = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(source, settings, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        name = "the graph" if isinstance(model, bytes) else model
        raise load_error(
            error,
            engine="ONNX Runtime",
            version=onnxruntime.__version__,
            what=str(name),
            reason=_one_line(error),
            four_bits_since=_FOUR_BITS_SINCE,
        ) from None


def _load_cached(model: Path | bytes, options: SessionOptions, cache: CacheSlot) -> Any | None:
    """Load the optimized graph and its packed weights from the cache, or create them; None if neither works."""
    settings = _settings(options)
    kept = cache.read()
    if kept is not None:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return _load(kept / _OPTIMIZED, settings, options)
        except EngineError:
            cache.drop()
            return None
    session = None

    def fill(folder: Path) -> None:
        nonlocal session
        settings.optimized_model_filepath = str(folder / _OPTIMIZED)
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", _PACKED)
        settings.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
        session = _load(model, settings, options)

    cache.write(fill)
    return session


def _settings(options: SessionOptions) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads or usable_cores()
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _LOG_ERRORS
    if options.exact_int8:
        settings.add_session_config_entry("session.x64quantprecision", "1")
    if options.takes_turns:
        settings.add_session_config_entry("session.force_spinning_stop", "1")  # threads sleep after each run
    if device_kind(options.device) != "cpu":
        # By default, operators that the device does not support run on the CPU without a warning.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return settings


def _provider_options(kind: str, options: SessionOptions) -> dict[str, str]:
    if kind == "cuda":
        use_tf32 = "1" if options.precision == "tf32" else "0"  # the engine's default is 1
        return {"device_id": str(device_index(options.device)), "use_tf32": use_tf32}
    if kind == "tensorrt":
        # TensorRT defaults to TF32, and the provider has no option for it. NVIDIA's libraries read this variable once
        # when they are loaded, so it has no effect if the process opened a CUDA session earlier.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        fp16 = "1" if options.precision == "fp16" else "0"
        return {"device_id": str(device_index(options.device)), "trt_fp16_enable": fp16}
    return {}


def _one_line(error: Exception) -> str:
    """Return an engine's multi-line message as one line."""
    return " ".join(str(error).split())[:300]
