"""Which engines there are, which are installed, and the one way to open a session on a bundle.

An engine that was asked for by name or by device is opened or refused; only `auto` chooses.
"""

import dataclasses
import importlib
import importlib.util
import re
import warnings

from edgecnn.bundle.manifest import MODEL
from edgecnn.bundle.store import Bundle
from edgecnn.bundle.weight_range import PORTABLE_RANGE
from edgecnn.errors import EngineError, EngineMissing, SaturationWarning, UsageError
from edgecnn.runtime.backend import DEVICES, Backend, Session, SessionOptions, device_kind
from edgecnn.runtime.engine_cache import CacheSlot, cache_key
from edgecnn.runtime.host import usable_cores
from edgecnn.runtime.saturation import saturating, without_saturation

_BACKENDS = {
    "onnxruntime": ("edgecnn.runtime.onnxruntime", "OnnxRuntimeBackend"),
    "openvino": ("edgecnn.runtime.openvino", "OpenVinoBackend"),
}
"""In the order in which `auto` tries them."""

NAMES = tuple(_BACKENDS)

_OWNERS = {"cuda": "onnxruntime", "tensorrt": "onnxruntime", "gpu": "openvino", "npu": "openvino", "auto": "openvino"}
"""Kinds of device that only one engine drives."""

NONE_INSTALLED = "no engine is installed: pip install 'edgecnn[onnxruntime]' or 'edgecnn[openvino]'"

_DEVICE = re.compile(rf"({'|'.join(DEVICES)})|(cuda|tensorrt|gpu):\d{{1,3}}")


def installed() -> tuple[str, ...]:
    """Return the names of the engines whose package is installed."""
    specs = {name: importlib.util.find_spec(name) for name in NAMES}
    # A folder that an uninstalled package leaves behind is found too, as a namespace without an origin.
    return tuple(name for name, spec in specs.items() if spec is not None and spec.origin is not None)


def get_backend(name: str) -> Backend:
    """Import an engine.

    Raises:
        UsageError: there is no such engine.
        EngineMissing: its package is not installed, or broken.
    """
    if name not in _BACKENDS:
        raise UsageError(f"there is no backend {name!r}: choose auto, {' or '.join(NAMES)}")
    if name not in installed():
        raise EngineMissing(f"the engine {name} is not installed: pip install 'edgecnn[{name}]'")
    module, cls = _BACKENDS[name]
    try:
        backend: Backend = getattr(importlib.import_module(module), cls)()
    except ImportError as error:  # a library of the system that it needs is not there, or is too old
        raise EngineMissing(f"the engine {name} is installed and cannot be imported: {error}") from None
    return backend


def choose_backend(name: str, device: str) -> Backend:
    """Return the engine of that name, or for `auto` the installed one that drives the device.

    Raises:
        UsageError: there is no such engine or device.
        EngineMissing: the engine is not installed, or none is.
    """
    if not _DEVICE.fullmatch(device):
        raise UsageError(f"there is no device {device!r}: choose {', '.join(DEVICES)}, or cuda:1 for the second one")
    if name != "auto":
        return get_backend(name)
    if device_kind(device) in _OWNERS:
        return get_backend(_OWNERS[device_kind(device)])
    names = installed()
    if not names:
        raise EngineMissing(NONE_INSTALLED)
    return get_backend(names[0])


def open_session(
    bundle: Bundle,
    *,
    backend: str = "auto",
    options: SessionOptions | None = None,
    strict: bool = False,
    cache: bool = False,
) -> Session:
    """Load a bundle's graph into an engine.

    Weights beyond ±64 saturate on some processors: where they do here, the engine is told to sum exactly if it can;
    where it cannot, there is a `SaturationWarning`, or with `strict` an `EngineError`.

    With `cache` the compiled graph is kept in `$XDG_CACHE_HOME/edgecnn/engines` for the next start.

    Raises:
        UsageError: there is no such engine or device, or no such number of threads.
        EngineError: the engine, the device or the precision is not there, the device cannot compute this bundle's
            quantization, or the engine refused the graph.
    """
    options = options or SessionOptions()
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads must be at least 1, found {options.threads}")
    engine = choose_backend(backend, options.device)
    quantization = bundle.manifest.quantization
    if quantization and not quantization.symmetric and device_kind(options.device) in engine.symmetric_int8_only:
        raise EngineError(
            f"{options.device} computes INT8 without zero points only, and {bundle.path} has asymmetric activations: "
            f"run its FP32 bundle there"
        )
    if quantization and quantization.weight_limit > PORTABLE_RANGE:
        options = _guarded(bundle, engine, options, strict)
    if cache:
        options = dataclasses.replace(options, cache=_slot(bundle, engine, options))
    return engine.open(bundle.model, options)


def _slot(bundle: Bundle, engine: Backend, options: SessionOptions) -> CacheSlot:
    """Return the place of the graph as this engine compiles it under these options."""
    threads = options.threads or usable_cores()
    text = f"{options.device} {options.precision} {threads} × {options.concurrency} exact={options.exact_int8}"
    return CacheSlot(cache_key(bundle.manifest.files[MODEL].sha256, engine.name, engine.version, text))


def _guarded(bundle: Bundle, engine: Backend, options: SessionOptions, strict: bool) -> SessionOptions:
    """Return options under which full-range weights are summed exactly, or say that there are none."""
    exact = without_saturation(engine, options)
    operators = saturating(engine, exact)
    if operators:
        message = (
            f"full-range weights saturate on {engine.name} here ({', '.join(operators)}): the answers of {bundle.path} "
            f"may not be the original's; verify them, quantize without --full-range, or use another engine"
        )
        if strict:
            raise EngineError(message)
        warnings.warn(message, SaturationWarning, stacklevel=3)
    return exact
