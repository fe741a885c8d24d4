"""The OpenVINO engine: CPU, GPU, NPU, AUTO. `openvino_session` runs the opened graph."""

from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.errors import DeviceUnavailable, EngineError, PrecisionUnavailable
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.engine import Device, Precision, SessionInfo, SessionOptions, device_kind
from edgecnn.runtime.engines.openvino_module import openvino
from edgecnn.runtime.engines.openvino_session import OpenVinoSession, reason
from edgecnn.runtime.engines.refusal import load_error

_KINDS = ("cpu", "gpu", "npu", "auto")
_AUTO = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_STARTUP_FALLBACK": False}
"""With the fallback, AUTO runs on the CPU while it compiles for another device, and reports the CPU as its device."""
_FOUR_BITS_SINCE = "2025.3"
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_COMPILED = "model.blob"
_PRECISIONS: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


class OpenVinoEngine:
    """OpenVINO."""

    name = "openvino"
    version = openvino.__version__
    symmetric_int8_only: frozenset[str] = frozenset()
    has_exact_int8 = False
    packs_in_first_run = True

    def __init__(self) -> None:
        self._core = openvino.Core()

    def devices(self) -> tuple[Device, ...]:
        """Return the devices of this machine, and `auto`, which lets OpenVINO choose."""
        found = [
            Device(name.lower().replace(".", ":"), str(self._core.get_property(name, "FULL_DEVICE_NAME")))
            for name in self._core.available_devices
        ]
        return (*found, Device("auto", "the engine's choice"))

    def default_precision(self, model: Path, device: str) -> Precision | None:
        """See `Engine.default_precision`. AUTO does not report it."""
        if device_kind(device) == "auto":
            return None
        try:
            compiled = self._core.compile_model(self._core.read_model(str(model)), _device_name(device))
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load {model} for {device}: {reason(error)}") from None
        return _PRECISIONS.get(_precision_hint(compiled))

    def open(self, model: Path | bytes, options: SessionOptions) -> "OpenVinoSession":
        """Open a graph from a file or from bytes; see `Engine.open`."""
        kind = device_kind(options.device)
        self._check(kind, options)
        device = options.device
        try:
            if kind == "auto":  # find out which device AUTO chooses: AUTO does not report its precision
                chosen = self._core.compile_model(self._read(model), "AUTO", _AUTO)
                device = _opened(chosen)[0]
            content, compiled = self._load_cached(device, options)
            compiled = compiled or self._compile(model, device, options)
        except RuntimeError as error:
            name = "the graph" if isinstance(model, bytes) else model
            raise load_error(
                error,
                engine="OpenVINO",
                version=self.version,
                what=f"{name} for {device}",
                reason=reason(error),
                four_bits_since=_FOUR_BITS_SINCE,
            ) from None
        info = _check_opened(compiled, device, options)
        return OpenVinoSession(compiled, info, options.instances, one_by_one=options.one_by_one, weights=content)

    def _read(self, model: Path | bytes) -> Any:
        return self._core.read_model(model if isinstance(model, bytes) else str(model))

    def _compile(self, model: Path | bytes, device: str, options: SessionOptions) -> Any:
        settings = _settings(device_kind(device), options)
        graph = self._read(model)
        if options.one_by_one:  # fixed shapes need no lookup at each operator, which saves 3 to 35 % of a run
            shape = graph.input(0).partial_shape
            shape[0] = 1
            graph.reshape(shape)
        compiled = self._core.compile_model(graph, _device_name(device), settings)
        if options.cache is not None:
            options.cache.write(lambda folder: _keep(compiled, folder / _COMPILED))
        return compiled

    def _load_cached(self, device: str, options: SessionOptions) -> tuple[np.ndarray, Any] | tuple[None, None]:
        """Load the graph from the cache. Return its memory-mapped file, which contains the weights, and the graph.

        OpenVINO's own `CACHE_DIR` is not faster on a CPU, because it reads and hashes the ONNX graph first.
        """
        kept = options.cache.read() if options.cache else None
        if options.cache is None or kept is None:
            return None, None
        try:
            # OpenVINO needs writable memory; mode "c" keeps any changes in this process.
            content = np.memmap(kept / _COMPILED, dtype=np.uint8, mode="c")
            tensor = openvino.Tensor(content, shared_memory=True)
            settings = _settings(device_kind(device), options)
            return content, self._core.import_model(tensor, _device_name(device), settings)
        except (OSError, ValueError, RuntimeError):
            options.cache.drop()
            return None, None

    def _check(self, kind: str, options: SessionOptions) -> None:
        found = [device.name for device in self.devices()]
        wanted = options.device if options.device in found else kind
        if kind not in _KINDS or not any(name in (wanted, f"{wanted}:0") for name in found):
            raise DeviceUnavailable(f"OpenVINO has no device {options.device!r} here, only {', '.join(found)}")
        if options.precision not in _HINTS:
            raise PrecisionUnavailable(
                f"OpenVINO supports {', '.join(_HINTS)}, not {options.precision}: use --precision fp32"
            )


def _settings(kind: str, options: SessionOptions) -> dict[str, Any]:
    # By default OpenVINO runs FP32 models in bfloat16 on CPUs that support it, and in float16 on GPUs.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[options.precision]}
    if kind == "cpu":
        settings["INFERENCE_NUM_THREADS"] = (options.threads or usable_cores()) * options.instances
        settings["NUM_STREAMS"] = options.instances
    return settings


def _check_opened(compiled: Any, device: str, options: SessionOptions) -> SessionInfo:
    """Check that the engine opened the requested device and precision: it falls back without a warning."""
    kind, opened = device_kind(device), _opened(compiled)
    if not all(name.startswith(kind) for name in opened):
        raise DeviceUnavailable(f"OpenVINO opened {', '.join(opened)} instead of {device}: check the driver")
    found = _precision_hint(compiled)
    precision = _PRECISIONS.get(found)
    if precision != options.precision:
        raise PrecisionUnavailable(
            f"{device} computes in {precision or found} here, not in {options.precision}: "
            f"use --precision {precision or 'fp32'}"
        )
    threads = int(compiled.get_property("INFERENCE_NUM_THREADS")) // options.instances if kind == "cpu" else 1
    return SessionInfo("openvino", openvino.__version__, opened[0], options.precision, threads)


def _precision_hint(compiled: Any) -> str:
    """Return OpenVINO's name of a compiled graph's precision."""
    hint = compiled.get_property("INFERENCE_PRECISION_HINT")
    return hint.get_type_name() if hasattr(hint, "get_type_name") else str(hint)


def _keep(compiled: Any, path: Path) -> None:
    try:
        content = compiled.export_model()
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot export the compiled graph: {reason(error)}") from None
    path.write_bytes(content.getbuffer())


def _opened(compiled: Any) -> list[str]:
    """Return the devices that a compiled graph runs on, named as in `--device`."""
    names = compiled.get_property("EXECUTION_DEVICES")
    return [str(name).strip("()").lower().replace(".", ":") for name in names]


def _device_name(device: str) -> str:
    return device.upper().replace(":", ".")
