"""The one way to open a session on a bundle: which engine, summed exactly, from the cache or not."""

import dataclasses
import warnings

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.bundle.store import Bundle
from edgecnn.errors import CacheWarning, EdgecnnError, EngineError, SaturationWarning, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.backend import Backend, Session, SessionOptions, device_kind
from edgecnn.runtime.engines.backends import choose_backend
from edgecnn.runtime.engines.cache import CacheSlot, cache_key
from edgecnn.runtime.engines.saturation import saturating, without_saturation
from edgecnn.runtime.profile import Purpose, tuned_setting


def open_session(
    bundle: Bundle,
    *,
    backend: str = "auto",
    options: SessionOptions | None = None,
    purpose: Purpose = "latency",
    strict: bool = False,
    cache: bool = False,
) -> Session:
    """Load a bundle's graph into an engine.

    Where backend, device, precision and concurrency are left open, this machine's profile for the purpose decides the
    engine, its threads and how many runs at once, if `edgecnn tune` has written one that still holds; one that does not
    is a `ProfileWarning`.

    Weights beyond ±64 saturate on some processors: where they do here, the engine is told to sum exactly if it can;
    where it cannot, there is a `SaturationWarning`, or with `strict` an `EngineError`.

    With `cache` the compiled graph is kept in `$XDG_CACHE_HOME/edgecnn/engines` for the next start; where that cannot
    be, there is a `CacheWarning`.

    Raises:
        UsageError: there is no such engine or device, or no such number of threads or of runs at once.
        EngineError: the engine, the device or the precision is not there, the device cannot compute this bundle's
            quantization, or the engine refused the graph.
    """
    options = options or SessionOptions()
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads must be at least 1, found {options.threads}")
    if options.concurrency < 1:
        raise UsageError(f"concurrency must be at least 1, found {options.concurrency}")
    if backend == "auto" and (options.device, options.precision, options.concurrency) == ("cpu", "fp32", 1):
        backend, options = _as_tuned(bundle, options, purpose)
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


def _as_tuned(bundle: Bundle, options: SessionOptions, purpose: Purpose) -> tuple[str, SessionOptions]:
    """Return what this machine's profile says of a bundle; `auto` where there is none."""
    setting = tuned_setting(bundle, purpose)
    if setting is None:
        return "auto", options
    return setting.backend, dataclasses.replace(setting.options, threads=options.threads or setting.threads)


def _slot(bundle: Bundle, engine: Backend, options: SessionOptions) -> CacheSlot | None:
    """Return the place of the graph as this engine compiles it under these options; None where there is no place."""
    threads = options.threads or usable_cores()
    text = f"{options.device} {options.precision} {threads} × {options.concurrency} exact={options.exact_int8} "
    text += f"one={options.one_by_one}"
    try:
        return CacheSlot(
            cache_key(bundle.manifest.files[bundle.manifest.graph.file].sha256, engine.name, engine.version, text)
        )
    except EdgecnnError as error:
        warnings.warn(f"the compiled graph is not kept for the next start: {error}", CacheWarning, stacklevel=3)
        return None


def _guarded(bundle: Bundle, engine: Backend, options: SessionOptions, strict: bool) -> SessionOptions:
    """Return options under which full-range weights are summed exactly, or say that there are none."""
    exact = without_saturation(engine, options)
    operators = saturating(engine, exact)
    if operators:
        message = (
            f"full-range weights saturate on {engine.name} here ({', '.join(operators)}): the answers of {bundle.path} "
            f"may not be the reference's; verify them, quantize without --full-range, or use another engine"
        )
        if strict:
            raise EngineError(message)
        warnings.warn(message, SaturationWarning, stacklevel=3)
    return exact
