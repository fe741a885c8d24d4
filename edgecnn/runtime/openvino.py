"""OpenVINO behind the backend protocol: CPU, GPU, NPU, AUTO. The only file that imports it."""

import queue
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from edgecnn.errors import DeviceUnavailable, EngineError, PrecisionUnavailable
from edgecnn.runtime.backend import Device, Precision, SessionInfo, SessionOptions, deliver, device_kind
from edgecnn.runtime.host import usable_cores

_KINDS = ("cpu", "gpu", "npu", "auto")
_AUTO = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_STARTUP_FALLBACK": False}
"""Without the second, AUTO answers from the CPU until its real choice is compiled, and names the CPU when asked."""
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_PRECISIONS: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


class OpenVinoBackend:
    """OpenVINO."""

    name = "openvino"
    symmetric_int8_only: frozenset[str] = frozenset()
    has_exact_int8 = False

    def __init__(self) -> None:
        self._core = openvino.Core()

    def devices(self) -> tuple[Device, ...]:
        """List what this machine has; `auto` leaves the choice to the engine."""
        found = [
            Device(name.lower().replace(".", ":"), str(self._core.get_property(name, "FULL_DEVICE_NAME")))
            for name in self._core.available_devices
        ]
        return (*found, Device("auto", "the engine's choice"))

    def open(self, model: Path, options: SessionOptions) -> "OpenVinoSession":
        """Load a graph; see `Backend.open`."""
        kind = device_kind(options.device)
        self._check(kind, options)
        try:
            graph = self._core.read_model(str(model))
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load {model}: {_last_line(error)}") from None
        device = options.device
        try:
            if kind == "auto":  # ask the engine which one it takes: AUTO itself does not tell the precision that runs
                chosen = self._core.compile_model(graph, "AUTO", _AUTO)
                device = _opened(chosen)[0]
            settings = _settings(device_kind(device), options)
            compiled = self._core.compile_model(graph, _device_name(device), settings)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile {model} for {device}: {_last_line(error)}") from None
        return OpenVinoSession(compiled, _check_opened(compiled, device, options), options.concurrency)

    def _check(self, kind: str, options: SessionOptions) -> None:
        found = [device.name for device in self.devices()]
        wanted = options.device if options.device in found else kind
        if kind not in _KINDS or not any(name in (wanted, f"{wanted}:0") for name in found):
            raise DeviceUnavailable(f"OpenVINO finds no device {options.device!r} here, it finds {', '.join(found)}")
        if options.precision not in _HINTS:
            raise PrecisionUnavailable(
                f"OpenVINO computes in {', '.join(_HINTS)}, not in {options.precision}: ask for --precision fp32"
            )


class OpenVinoSession:
    """A graph in OpenVINO, with one infer request for each thread that may be inside `run`."""

    def __init__(self, compiled: Any, info: SessionInfo, concurrency: int) -> None:
        self.info = info
        self.concurrency = concurrency
        self._requests: queue.SimpleQueue[Any] | None = queue.SimpleQueue()
        for _ in range(concurrency):
            self._requests.put(compiled.create_infer_request())

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        if self._requests is None:
            raise EngineError("this session is closed: open the bundle again")
        if images.dtype != np.uint8:  # OpenVINO would convert other types without a word
            raise EngineError(f"OpenVINO failed: images must be uint8, found {images.dtype}")
        requests = self._requests
        request = requests.get()
        try:
            request.infer([np.ascontiguousarray(images)], share_inputs=True)
            # The result lies in the request's own memory, which the next run overwrites.
            logits: np.ndarray = request.get_output_tensor(0).data
            return logits.copy() if out is None else deliver(logits, out)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {_last_line(error)}") from None
        finally:
            requests.put(request)

    def close(self) -> None:
        """See `Session.close`."""
        self._requests = None


def _settings(kind: str, options: SessionOptions) -> dict[str, Any]:
    # Without the hint OpenVINO computes FP32 models in bfloat16 on CPUs that have it, and in float16 on GPUs.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[options.precision]}
    if kind == "cpu":
        settings["INFERENCE_NUM_THREADS"] = (options.threads or usable_cores()) * options.concurrency
        settings["NUM_STREAMS"] = options.concurrency
    return settings


def _check_opened(compiled: Any, device: str, options: SessionOptions) -> SessionInfo:
    """Read back what the engine made of the request; it falls back without a word."""
    kind, opened = device_kind(device), _opened(compiled)
    if not all(name.startswith(kind) for name in opened):
        raise DeviceUnavailable(f"OpenVINO opened {', '.join(opened)} where {device} was asked for")
    hint = compiled.get_property("INFERENCE_PRECISION_HINT")
    found = hint.get_type_name() if hasattr(hint, "get_type_name") else str(hint)
    precision = _PRECISIONS.get(found)
    if precision != options.precision:
        raise PrecisionUnavailable(
            f"{device} computes in {precision or found} here, not in {options.precision}: "
            f"ask for --precision {precision or 'fp32'}"
        )
    threads = int(compiled.get_property("INFERENCE_NUM_THREADS")) // options.concurrency if kind == "cpu" else 1
    return SessionInfo("openvino", openvino.__version__, opened[0], options.precision, threads)


def _opened(compiled: Any) -> list[str]:
    """Return the devices that a compiled graph really runs on, as `--device` writes them."""
    names = compiled.get_property("EXECUTION_DEVICES")
    return [str(name).strip("()").lower().replace(".", ":") for name in names]


def _device_name(device: str) -> str:
    return device.upper().replace(":", ".")


def _last_line(error: Exception) -> str:
    """Return the reason of an OpenVINO error: its texts begin with source lines and end with the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(("Exception from", "Check "))]
    return " ".join(reasons or lines)[:300]
