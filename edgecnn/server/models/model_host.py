"""Passes the repository's changes to the models, from its thread to the event loop's thread."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.load_queue import LoadOrder
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Bounds
from edgecnn.server.options import ServeOptions

FAILED = "the server failed to load it: see its log"
"""Reason of a model that failed to load because of a bug."""
_OVERHEAD_BYTES = 4096
"""Allowance for the bytes of a request besides its pixels."""

logger = logging.getLogger(__name__)


def models_of(names: Iterable[str], options: ServeOptions, metrics: Metrics) -> dict[str, Model]:
    """Return models without a version, by name."""
    bounds = Bounds(
        max_batch=options.max_batch,
        max_pending=options.max_queue,
        max_delay_s=options.max_delay_us / 1e6,
        max_pixels=options.max_pixels,
        formats=options.image_formats,
        max_request_pixels=options.max_request_pixels,
    )
    return {name: Model(name, bounds, metrics.of(name)) for name in names}


class ModelHost:
    """The models of a worker. The repository's thread calls it; changes happen in the event loop's thread, in order.

    Attributes:
        models: by name; grows when new models appear in the folders.
        has_warned: whether loading a version caused a warning.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        models: dict[str, Model],
        *,
        lay_out: Callable[[], object],
        options: ServeOptions,
        metrics: Metrics,
        serves: Callable[[], object],
        loaded: Callable[[], object],
    ) -> None:
        """Create a host, which calls these functions in the event loop's thread.

        `lay_out` updates the paths after a model was added or changed its version. `serves` is called before each
        version is served, and `loaded` when all models of the start have been tried.
        """
        self.models = models
        self.has_warned = False
        self._loop = loop
        self._lay_out = lay_out
        self._options = options
        self._metrics = metrics
        self._serves = serves
        self._loaded = loaded

    def serve(self, name: str, number: int, loaded: Loaded, seconds: float) -> None:
        """Serve a version from now on."""
        self._loop.call_soon_threadsafe(self._start, name, number, loaded, seconds)

    def refuse(self, name: str, reason: str) -> None:
        """Record why a bundle is not served; with an empty reason, clear it."""
        self._loop.call_soon_threadsafe(lambda: self._model(name).refuse(reason))

    def unload(self, name: str) -> None:
        """Stop serving a model."""
        self._loop.call_soon_threadsafe(self._unload, name)

    def loaded(self) -> None:
        """Report that all models of the start have been tried."""
        self._loop.call_soon_threadsafe(self._loaded)

    def end(self, order: LoadOrder, refusal: Refusal | None) -> None:
        """Report the result of an order to its clients."""
        self._loop.call_soon_threadsafe(order.end, refusal)

    def _model(self, name: str) -> Model:
        """Return a model, which may be new."""
        if name not in self.models:
            self.models |= models_of((name,), self._options, self._metrics)
            self._lay_out()
        return self.models[name]

    def _start(self, name: str, number: int, loaded: Loaded, seconds: float) -> None:
        self._serves()
        try:
            self._model(name).start(loaded, self._loop, number=number)
        except Exception:
            logger.exception("a bug: a version could not be served", extra={"model": name, "version": number})
            self._model(name).refuse(FAILED)
            return
        self._lay_out()
        info = loaded.session.info
        fields = {
            "version": str(number),
            "digest": loaded.bundle.digest[:12],
            "engine": f"{info.engine} {info.version}",
        }
        fields |= {"device": info.device, "precision": info.precision, "threads": str(info.threads)}
        fields |= {"instances": str(loaded.session.instances), "seconds": f"{seconds:.2f}"}
        logger.info("ready", extra={"model": name} | fields)
        self._check_room(name, loaded)

    def _check_room(self, name: str, loaded: Loaded) -> None:
        """Warn if the body limit is too small for a full batch."""
        batch_bytes = self._options.max_batch * math.prod(loaded.bundle.manifest.image_shape)
        if batch_bytes + _OVERHEAD_BYTES > self._options.max_body_mb << 20:
            logger.warning(
                "a batch of --max-batch %d images has %d bytes, more than --max-body-mb %d allows",
                self._options.max_batch,
                batch_bytes,
                self._options.max_body_mb,
                extra={"model": name},
            )
            self.has_warned = True

    def _unload(self, name: str) -> None:
        self._model(name).unload()
        self._lay_out()
        logger.info("unloaded", extra={"model": name})
