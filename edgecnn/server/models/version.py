"""One opened bundle that serves requests: its tensors, its engine, and closing it after its last request."""

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.formats import SERVED
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.prediction import Stage
from edgecnn.protocol.matching import logits_of, pixels_or_files
from edgecnn.runtime.cascade import CascadeSession
from edgecnn.runtime.engines.engine import Session, check_logits
from edgecnn.server.metrics import ModelMetrics
from edgecnn.server.models.batching import Batcher
from edgecnn.server.models.cascade_batching import CascadeBatcher, StageEngine
from edgecnn.server.models.instances import InlineRunner, Instances, ThreadRunner, is_short
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.prediction_counts import PredictionCounts
from edgecnn.server.models.statistics import Statistics

_JSON_BYTES, _BYTES_OF_A_NUMBER, _MOST_JSON_BYTES = 5 << 20, 16, 16 << 20
"""Limits of JSON; larger requests must use binary data, since parsed JSON can take 30 times its size."""

_JSON_SPARE = 300_000
"""Elements and lists of a request's JSON besides those of the batch."""

_ACCURATE_SHARE = 0.5
"""Images that may wait for the accurate graph of a cascade, as a part of `max_pending`. The other part is for
requests that the fast graph answers alone, however many images need the accurate one."""

_RETIRING_S = 0.05
"""Interval in seconds at which a replaced version checks whether it can close."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """The limits of requests to one model."""

    max_batch: int  # images in a run, and in a request
    max_pending: int  # requests without a response
    max_delay_s: float  # how long a batch that is not full waits for more jobs
    max_pixels: int  # of an encoded image
    formats: tuple[str, ...] = SERVED  # of an encoded image
    max_request_pixels: int = 4 * MAX_PIXELS  # of all encoded images of a request


class Version:
    """One opened bundle of a model. Everything except the runs happens in the event loop's thread.

    Attributes:
        number: as in its URL.
        bundle: the opened bundle.
        label: version and first digits of the digest, for the access log.
        proof: the bundle's `proof.json`.
        self_test: the result of its self-test on this machine.
        info: engine, device and precision in use.
        instances: number of concurrent runs.
        bounds: limits of requests.
        accepted: forms of each input: pixels, or encoded image files, which the server decodes.
        outputs: the tensors of a response.
        statistics: of its requests.
        predictions: counts of its predicted classes.
        max_json_bytes: limit of a request's JSON: the largest batch as numbers, and some more.
        max_json_elements: limit of the elements in it: those of the largest batch, and some more.
        max_json_lists: the same for its lists.
        batcher: the queue of its engine, or both queues of a cascade.
    """

    def __init__(
        self,
        loaded: Loaded,
        loop: asyncio.AbstractEventLoop,
        *,
        number: int,
        bounds: Bounds,
        metrics: ModelMetrics,
        died: Callable[["Version"], object],
    ) -> None:
        """Start the engine's instances; `died` is called when the engine fails on each image."""
        self.number = number
        self.bundle = loaded.bundle
        self.label = (str(number), loaded.bundle.digest[:12])
        self.proof = loaded.proof
        self.self_test = loaded.self_test
        self.info = loaded.session.info
        self.instances = loaded.session.instances
        self.bounds = bounds
        self.statistics = Statistics()
        self.predictions = PredictionCounts(loaded.bundle.manifest.labels, loaded.bundle.manifest.scores)
        self._metrics = metrics
        self._session: Session | None = loaded.session
        self._loop = loop
        self._users = 0
        manifest = loaded.bundle.manifest
        self.accepted = pixels_or_files(manifest.input.name, manifest.image_shape)
        self.outputs = logits_of(manifest.output.name, loaded.bundle.classes)
        elements = bounds.max_batch * math.prod(manifest.image_shape)
        self.max_json_bytes = min(_JSON_BYTES + elements * _BYTES_OF_A_NUMBER, _MOST_JSON_BYTES)
        self.max_json_elements = _JSON_SPARE + elements
        self.max_json_lists = _JSON_SPARE + 2 * elements // manifest.image_shape[-1]
        self.batcher = self._batcher(loaded, lambda: loop.call_soon_threadsafe(died, self))

    def _batcher(self, loaded: Loaded, died: Callable[[], object]) -> Batcher | CascadeBatcher:
        session, bounds, loop = loaded.session, self.bounds, self._loop
        slowest_ms = max(loaded.run_ms, loaded.accurate_ms or 0.0)
        inline = self.instances == 1 and is_short(slowest_ms, bounds.max_batch)
        runners = [InlineRunner(loop)] if inline else [ThreadRunner(loop) for _ in range(self.instances)]
        instances = Instances(runners)
        if not isinstance(session, CascadeSession):
            return Batcher(
                loop,
                instances,
                _Runs(session, loaded, died, answered=self.predictions.add),
                max_batch=bounds.max_batch,
                max_delay_s=bounds.max_delay_s,
                on_run=self._ran,
            )
        rule = session.rule

        def count_kept(logits: np.ndarray) -> None:
            self.predictions.add(logits[~rule.runs_again(logits)])

        fast = _Runs(session.fast, loaded, died, answered=count_kept)
        accurate = _Runs(session.accurate, loaded, died, answered=self.predictions.add)
        return CascadeBatcher(
            loop,
            instances,
            StageEngine(fast, bounds.max_batch),
            StageEngine(accurate, loaded.accurate_batch(bounds.max_batch)),
            rule=rule,
            max_waiting=max(1, int(_ACCURATE_SHARE * bounds.max_pending)),
            max_delay_s=bounds.max_delay_s,
            on_run=self._ran,
        )

    @property
    def stage_images(self) -> dict[Stage, int]:
        """Number of images by the stage of a cascade that answers them; empty for one graph."""
        return self.batcher.images if isinstance(self.batcher, CascadeBatcher) else {}

    @property
    def sealed_share(self) -> float | None:
        """Share of images that ran again when the cascade was made; None if unknown, and for one graph."""
        return None if self.proof.cascade is None else self.proof.cascade.share

    def enter(self) -> None:
        """Keep the version open for a request, until `leave`."""
        self._users += 1

    def leave(self) -> None:
        """Release the version after a request."""
        self._users -= 1

    def _ran(self, images: int, seconds: float) -> None:
        self.statistics.ran(images, seconds)
        self._metrics.ran(images)

    def retire(self, ended: Callable[["Version"], object]) -> None:
        """Close the engine after the last request of this version, then call `ended`."""
        if self._users or not self.batcher.is_idle():
            self._loop.call_later(_RETIRING_S, self.retire, ended)
            return
        self.batcher.close()
        session, self._session = self._session, None
        if session is not None:
            # Closing an engine may take long. A daemon: an engine that hangs must not keep the process from ending.
            threading.Thread(target=self._close, args=(session, ended), name="edgecnn-close", daemon=True).start()

    def _close(self, session: Session, ended: Callable[["Version"], object]) -> None:
        try:
            session.close()
        except Exception:
            logger.exception("the engine of a replaced version could not be closed")
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(ended, self)


class _Runs:
    """Runs images and checks the logits' shape; after a failure, checks whether the engine still works.

    A run may fail because of the request (too little memory for its images) or of the engine (a lost device). An engine
    that also fails on an image of the self-test has died.
    """

    def __init__(
        self,
        session: Session,
        loaded: Loaded,
        died: Callable[[], object],
        *,
        answered: Callable[[np.ndarray], object],
    ) -> None:
        """Run a session of a loaded bundle; `answered` takes the logits of each run."""
        self._answered = answered
        self._session = session
        self._classes = loaded.bundle.classes
        self._known = loaded.known
        self._died = died

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of images; called by several threads at once."""
        try:
            logits = check_logits(self._session.run(images), len(images), self._classes)
        except Exception:
            try:
                check_logits(self._session.run(self._known), len(self._known), self._classes)
            except Exception:  # an engine may raise anything
                self._died()
            raise
        self._answered(logits)
        return logits
