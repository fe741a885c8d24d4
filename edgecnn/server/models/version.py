"""One opened bundle that answers: what it takes, what it gives, the engine behind it, until nobody needs it more."""

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.errors import EngineError
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.runtime.engines.backend import Session
from edgecnn.server.models.batching import Batcher, Job, Observer
from edgecnn.server.models.instances import Here, InThread, is_short
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.statistics import Statistics

_JSON_BYTES, _BYTES_OF_A_NUMBER, _MOST_JSON_BYTES = 5 << 20, 16, 16 << 20
"""Whoever has more to say sends it in binary: as objects of Python's, JSON can take thirty times its bytes."""

_RETIRING_S = 0.05
"""How often a version that is no longer served looks whether it is needed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """What requests may take of one model.

    Attributes:
        max_batch: images of a run, and of a request.
        max_pending: requests that are not answered yet.
        max_delay_s: how long a batch that is not full waits for more.
        max_pixels: of an encoded image.
    """

    max_batch: int
    max_pending: int
    max_delay_s: float
    max_pixels: int


class Version:
    """One opened bundle of a model. Everything here happens in the event loop's thread, but for the engine's runs.

    Attributes:
        number: as in its URL.
        bundle: what it is.
        proof: what was measured when it was built.
        self-test: what replaying it here has shown.
        info: what really runs.
        instances: runs at once.
        bounds: what requests may take of it.
        accepted: what each input may come as: pixels, or encoded image files that are decoded here.
        outputs: what it gives.
        statistics: what has happened to its requests.
        max_json_bytes: of a request's JSON: the largest batch in numbers, and room for what stands around them.
    """

    def __init__(
        self,
        loaded: Loaded,
        loop: asyncio.AbstractEventLoop,
        *,
        number: str,
        bounds: Bounds,
        observer: Observer,
        died: Callable[["Version"], object],
    ) -> None:
        """Answer from now on.

        Args:
            loaded: the bundle and its session, which belongs to this object from now on.
            loop: that this runs in.
            number: as in its URL.
            bounds: what requests may take of it.
            observer: told of every run.
            died: told when the engine fails on every image.
        """
        self.number = number
        self.bundle = loaded.bundle
        self.proof = loaded.proof
        self.self_test = loaded.self_test
        self.info = loaded.session.info
        self.instances = loaded.session.concurrency
        self.bounds = bounds
        self.statistics = Statistics()
        self._observer = observer
        self._session: Session | None = loaded.session
        self._loop = loop
        self._users = 0
        manifest = loaded.bundle.manifest
        pixels = TensorSpec(manifest.input.name, "UINT8", (-1, *manifest.image_shape))
        self.accepted = {manifest.input.name: (pixels, TensorSpec(manifest.input.name, "BYTES", (-1,)))}
        self.outputs = {manifest.output.name: TensorSpec(manifest.output.name, "FP32", (-1, loaded.bundle.classes))}
        elements = bounds.max_batch * math.prod(manifest.image_shape)
        self.max_json_bytes = min(_JSON_BYTES + elements * _BYTES_OF_A_NUMBER, _MOST_JSON_BYTES)
        engine = _Runs(loaded, lambda: loop.call_soon_threadsafe(died, self))
        here = self.instances == 1 and is_short(loaded.run_ms, bounds.max_batch)
        self._batcher = Batcher(
            loop,
            [Here(engine, loop)] if here else [InThread(engine, loop) for _ in range(self.instances)],
            max_batch=bounds.max_batch,
            max_delay_s=bounds.max_delay_s,
            observer=self,
        )

    def enter(self) -> None:
        """Keep it for a request, until `leave`."""
        self._users += 1

    def leave(self) -> None:
        """Let it go after a request."""
        self._users -= 1

    def submit(self, job: Job) -> None:
        """Queue a job; see `Batcher.submit`."""
        self._batcher.submit(job)

    def withdraw(self, job: Job) -> None:
        """Forget a job; see `Batcher.withdraw`."""
        self._batcher.withdraw(job)

    def ran(self, images: int, seconds: float) -> None:
        """See `batching.Observer`."""
        self.statistics.ran(images, seconds)
        self._observer.ran(images, seconds)

    def longest_run_s(self) -> float:
        """Return for how long the oldest run has been under way; any thread may ask."""
        return self._batcher.longest_run_s()

    def retire(self, ended: Callable[["Version"], object]) -> None:
        """Close the engine when the requests that began with this version have their answers, and say so."""
        if self._users or not self._batcher.is_idle():
            self._loop.call_later(_RETIRING_S, self.retire, ended)
            return
        self._batcher.close()
        session, self._session = self._session, None
        if session is not None:
            # Letting go of an engine takes as long as it takes; a daemon, as what hangs must not keep the process.
            threading.Thread(target=self._close, args=(session, ended), name="edgecnn-close", daemon=True).start()

    def _close(self, session: Session, ended: Callable[["Version"], object]) -> None:
        try:
            session.close()
        except Exception:
            logger.exception("an engine that is not needed any more could not be closed")
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(ended, self)


class _Runs:
    """The engine's runs: held to their shape, and to an image that it has answered before where one fails.

    What fails may be the request's fault (no memory for so many images) or the engine's (its device is lost). An engine
    that fails on the known image too has died.
    """

    def __init__(self, loaded: Loaded, died: Callable[[], object]) -> None:
        self._session = loaded.session
        self._classes = loaded.bundle.classes
        self._known = loaded.known
        self._died = died

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of images; called by several threads at once."""
        try:
            return self._run(images)
        except Exception:
            try:
                self._run(self._known)
            except Exception:  # whatever it raises: it answers nothing
                self._died()
            raise

    def _run(self, images: np.ndarray) -> np.ndarray:
        logits = self._session.run(images)
        if logits.shape != (len(images), self._classes):
            expected = [len(images), self._classes]
            raise EngineError(f"the graph gives logits {list(logits.shape)} where {expected} are expected")
        return logits
