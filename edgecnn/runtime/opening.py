"""Opens sessions on bundles: chooses engine, options and cache entry."""

import dataclasses
import warnings
from dataclasses import dataclass

from edgecnn.bundle.graph_entry import Graph
from edgecnn.bundle.store import Bundle
from edgecnn.errors import CacheWarning, EdgecnnError, EngineError, SaturationWarning, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.cascade import CascadeRule, CascadeSession
from edgecnn.runtime.engines.cache import CacheSlot, cache_key
from edgecnn.runtime.engines.engine import Engine, Session, SessionOptions, device_kind
from edgecnn.runtime.engines.registry import choose_engine
from edgecnn.runtime.engines.saturation import saturating, without_saturation
from edgecnn.runtime.profile import Purpose, tuned_setting
from edgecnn.runtime.weight_pages import open_on_huge_pages


def open_session(
    bundle: Bundle,
    *,
    engine: str = "auto",
    options: SessionOptions | None = None,
    purpose: Purpose = "latency",
    strict: bool = False,
    cache: bool = False,
    model: bytes | None = None,
) -> Session:
    """Open a bundle's graph on an engine, or both graphs of a cascade with the same setting.

    If engine, device, precision and instances have their defaults, this machine's profile for the purpose sets the
    engine, its threads and the instances. A stale profile is ignored with a `ProfileWarning`.

    Weights beyond ±64 saturate on some processors. If they do here, exact INT8 is requested. If the engine has no exact
    INT8, a `SaturationWarning` is issued, or with `strict` an `EngineError` is raised.

    With `cache` the compiled graph is kept in `$XDG_CACHE_HOME/edgecnn/engines` for the next start. If that fails, a
    `CacheWarning` is issued.

    `model` replaces the bytes of the only graph, for example by a copy with more outputs. It cannot be kept with
    `cache`.

    Raises:
        UsageError: the engine or device name is unknown, or threads or instances are below 1.
        EngineError: the engine, device or precision is not available, the device does not support this bundle's
            quantization, or the engine rejected the graph.
    """
    options = options or SessionOptions()
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads must be at least 1, found {options.threads}")
    if options.instances < 1:
        raise UsageError(f"instances must be at least 1, found {options.instances}")
    if engine == "auto" and (options.device, options.precision, options.instances) == ("cpu", "fp32", 1):
        engine, options = _as_tuned(bundle, options, purpose)
    chosen = choose_engine(engine, options.device)
    cascade, graphs = bundle.manifest.cascade, bundle.manifest.graphs
    options = dataclasses.replace(options, takes_turns=cascade is not None)
    opener = _Opener(bundle, chosen, options, strict=strict, cache=cache)
    if cascade is None:
        return opener.open(graphs[0], model)
    fast = opener.open(graphs[0])
    try:
        accurate = opener.open(graphs[1])
    except EngineError:
        fast.close()
        raise
    return CascadeSession(fast, accurate, CascadeRule(cascade.threshold, bundle.manifest.scores))


@dataclass(frozen=True)
class _Opener:
    """Opens the graphs of a bundle on one engine."""

    bundle: Bundle
    engine: Engine
    options: SessionOptions
    strict: bool
    cache: bool

    def open(self, graph: Graph, model: bytes | None = None) -> Session:
        """Open a graph, with the bytes of its file or those given; see `open_session`."""
        bundle, options, quantization = self.bundle, self.options, graph.quantization
        only_symmetric = device_kind(options.device) in self.engine.symmetric_int8_only
        if quantization and not quantization.symmetric and only_symmetric:
            raise EngineError(
                f"{options.device} supports only symmetric INT8, and {bundle.path} has asymmetric activations: "
                f"run its FP32 bundle on this device"
            )
        if quantization and quantization.is_full_range:
            options = _guarded(bundle, self.engine, options, self.strict)
        if self.cache:
            options = dataclasses.replace(options, cache=_slot(bundle, graph, self.engine, options))
        source = bundle.path / graph.file if model is None else model
        size, shape = bundle.manifest.files[graph.file].size_bytes, bundle.manifest.image_shape
        return open_on_huge_pages(self.engine, source, options, size_bytes=size, image_shape=shape)


def _as_tuned(bundle: Bundle, options: SessionOptions, purpose: Purpose) -> tuple[str, SessionOptions]:
    """Return the engine and options of this machine's profile for a bundle; `auto` without a profile."""
    setting = tuned_setting(bundle, purpose)
    if setting is None:
        return "auto", options
    return setting.engine, dataclasses.replace(setting.options, threads=options.threads or setting.threads)


def _slot(bundle: Bundle, graph: Graph, engine: Engine, options: SessionOptions) -> CacheSlot | None:
    """Return the cache slot of a graph on this engine with these options; None without a cache folder."""
    threads = options.threads or usable_cores()
    text = f"{options.device} {options.precision} {threads} × {options.instances} exact={options.exact_int8} "
    text += f"one={options.one_by_one}"
    try:
        return CacheSlot(cache_key(bundle.manifest.files[graph.file].sha256, engine.name, engine.version, text))
    except EdgecnnError as error:
        warnings.warn(f"cannot keep the compiled graph for the next start: {error}", CacheWarning, stacklevel=4)
        return None


def _guarded(bundle: Bundle, engine: Engine, options: SessionOptions, strict: bool) -> SessionOptions:
    """Return options that avoid saturation of full-range weights. If there are none, warn, or raise if `strict`."""
    exact = without_saturation(engine, options)
    operators = saturating(engine, exact)
    if operators:
        message = (
            f"full-range weights saturate on {engine.name} here ({', '.join(operators)}): the answers of {bundle.path} "
            f"may differ from the reference's; verify it, quantize without --full-range, or use another engine"
        )
        if strict:
            raise EngineError(message)
        warnings.warn(message, SaturationWarning, stacklevel=4)
    return exact
