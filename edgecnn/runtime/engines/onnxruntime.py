"""The ONNX Runtime backend: CPU, CUDA, TensorRT. This is the only file that imports `onnxruntime`.

Quantization opens its trial graphs here too: from bytes instead of a file, and with more outputs than the logits.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgecnn.errors import DeviceUnavailable, EngineError, PrecisionUnavailable
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.backend import (
    Device,
    Precision,
    SessionInfo,
    SessionOptions,
    check_process,
    deliver,
    device_index,
    device_kind,
)
from edgecnn.runtime.engines.cache import CacheSlot

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("fp32",),  # its convolutions know no bfloat16
    "cuda": ("fp32", "tf32"),
    "tensorrt": ("fp32", "fp16"),
}
_LOG_ERRORS = 3
_OPTIMIZED, _PACKED = "model.onnx", "weights.bin"
"""The files of a compiled graph; the second alone makes loading quick: its weights lie as the kernels read them."""


class OnnxRuntimeBackend:
    """ONNX Runtime."""

    name = "onnxruntime"
    version = onnxruntime.__version__
    symmetric_int8_only = frozenset({"tensorrt"})
    has_exact_int8 = True

    def devices(self) -> tuple[Device, ...]:
        """List the devices whose execution provider this build has; `open` shows whether the hardware is there."""
        available = onnxruntime.get_available_providers()
        return tuple(Device(kind, provider) for kind, provider in _PROVIDERS.items() if provider in available)

    def default_precision(self, model: Path, device: str) -> Precision | None:
        """See `Backend.default_precision`; on GPUs it is the hardware's affair, and the engine does not tell."""
        return "fp32" if device_kind(device) == "cpu" else None

    def open(self, model: Path | bytes, options: SessionOptions) -> "OnnxRuntimeSession":
        """Load a graph from a file, or from the bytes of one; see `Backend.open`."""
        kind = device_kind(options.device)
        self._check(kind, options)
        session = _load_cached(model, options, options.cache) if options.cache and kind == "cpu" else None
        session = session or _load(model, _settings(options), options)
        session.disable_fallback()
        if session.get_providers()[0] != _PROVIDERS[kind]:
            raise DeviceUnavailable(
                f"ONNX Runtime opened {session.get_providers()[0]} where {_PROVIDERS[kind]} was asked for: "
                f"check the driver, or use --device cpu"
            )
        threads = session.get_session_options().intra_op_num_threads
        info = SessionInfo(self.name, self.version, options.device, options.precision, threads)
        return OnnxRuntimeSession(session, info, options.concurrency)

    def _check(self, kind: str, options: SessionOptions) -> None:
        found = [device.name for device in self.devices()]
        if kind not in found:
            package = "; CUDA and TensorRT need onnxruntime-gpu instead of onnxruntime" if kind in _PROVIDERS else ""
            raise DeviceUnavailable(
                f"this build of ONNX Runtime has no device {options.device!r}, it has {', '.join(found)}{package}"
            )
        if options.precision not in _PRECISIONS[kind]:
            raise PrecisionUnavailable(
                f"ONNX Runtime on {kind} computes in {' or '.join(_PRECISIONS[kind])}, not in {options.precision}: "
                f"ask for --precision {_PRECISIONS[kind][0]}"
            )


class OnnxRuntimeSession:
    """A graph in ONNX Runtime; any number of threads may run it at once."""

    def __init__(self, session: Any, info: SessionInfo, concurrency: int) -> None:
        self.info = info
        self.concurrency = concurrency
        self._session = session
        self._process = os.getpid()
        self._input = session.get_inputs()[0].name

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        return deliver(self.outputs(None, images)[0], out)

    def outputs(self, names: Sequence[str] | None, images: np.ndarray) -> list[np.ndarray]:
        """Compute the named outputs of the graph, or all of them, for uint8 [N, H, W, C].

        Raises:
            EngineError: the engine failed, or the images have another shape or type.
        """
        session = self._session
        if session is None:
            raise EngineError("this session is closed: open the bundle again")
        check_process(self._process)
        try:
            values = session.run(names, {self._input: np.ascontiguousarray(images)})
        except Exception as error:  # see `_load`
            raise EngineError(f"ONNX Runtime failed: {_one_line(error)}") from None
        return [np.asarray(value) for value in values]

    def close(self) -> None:
        """See `Session.close`."""
        self._session = None


def _load(model: Path | bytes, settings: Any, options: SessionOptions) -> Any:
    kind = device_kind(options.device)
    provider = (_PROVIDERS[kind], _provider_options(kind, options))
    try:
        source = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(source, settings, providers=[provider])
    except Exception as error:  # its exceptions share no base class but this one
        name = "the graph" if isinstance(model, bytes) else model
        raise EngineError(f"ONNX Runtime cannot load {name}: {_one_line(error)}") from None


def _load_cached(model: Path | bytes, options: SessionOptions, cache: CacheSlot) -> Any | None:
    """Load the optimised graph and its packed weights if they are kept, else keep them; None where neither is done."""
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
    if device_kind(options.device) != "cpu":
        # Operators that the device cannot run would silently run on the CPU.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return settings


def _provider_options(kind: str, options: SessionOptions) -> dict[str, str]:
    if kind == "cuda":
        use_tf32 = "1" if options.precision == "tf32" else "0"  # the engine's default is 1
        return {"device_id": str(device_index(options.device)), "use_tf32": use_tf32}
    if kind == "tensorrt":
        # TensorRT's own default is TF32, and the provider has no option for it; NVIDIA's libraries read this one,
        # once a process, when they are loaded: a CUDA session that was opened earlier leaves TF32 as it found it.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        fp16 = "1" if options.precision == "fp16" else "0"
        return {"device_id": str(device_index(options.device)), "trt_fp16_enable": fp16}
    return {}


def _one_line(error: Exception) -> str:
    """Return an engine's message as one line: its texts run over many."""
    return " ".join(str(error).split())[:300]
