"""One inference request, from its body to its answer, whichever protocol it came by.

Small things are done where they come in, in the event loop's thread: handing them to another would take longer than
doing them. What takes its time (images, large JSON, anything compressed) is done by worker threads.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest
from edgecnn.server.api.pictures import pixels_of
from edgecnn.server.models.batching import Answer, Job, Outcome
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Version

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workplace:
    """Where requests are worked on.

    Attributes:
        loop: whose thread everything begins and ends in.
        pool: threads for what takes its time.
    """

    loop: asyncio.AbstractEventLoop
    pool: ThreadPoolExecutor


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of a request went, in seconds.

    Attributes:
        decode_s: reading it, decoding and resizing its images.
        queue_s: from its submission to the start of its run.
        inference_s: the engine's run, for it and those beside it.
    """

    decode_s: float
    queue_s: float
    inference_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a request is answered with.

    Attributes:
        request: as it was understood.
        logits: float32 [N, K].
        version: that gave them.
        timing: of all this.
    """

    request: InferRequest
    logits: np.ndarray
    version: Version
    timing: Timing


class Call(Protocol):
    """An inference request as its protocol has it, and the way back for the one answer.

    Attributes:
        on_gone: called once, in the event loop's thread, if the client leaves before the answer.
        takes_time: whether reading it takes longer than handing it to another thread.
        remaining_s: how long the client waits from the beginning on; None where it has not said, or says so within.
    """

    on_gone: Callable[[], None] | None
    takes_time: bool
    remaining_s: float | None

    def is_gone(self) -> bool:
        """Whether the client has left; asked just before work that would be for nobody."""
        ...

    def read(self, version: Version) -> InferRequest:
        """Understand the request, and let go of its bytes; called once, in either kind of thread.

        Raises:
            Refusal: it is not one to this model.
        """
        ...

    def writing_takes_time(self, logits: np.ndarray) -> bool:
        """Whether writing the answer takes longer than handing it to another thread."""
        ...

    def write(self, name: str, result: Result) -> Callable[[], object]:
        """Write the answer of a model, in either kind of thread; returns what sends it, in the event loop's.

        Raises:
            Refusal: it cannot be written as the client wants it.
        """
        ...

    def refuse(self, refusal: Refusal) -> None:
        """Answer that there is no result."""
        ...


class Inference:
    """One inference request; every way through it ends in `_end`, once."""

    def __init__(self, model: Model, call: Call, workplace: Workplace, *, version: Version | None = None) -> None:
        self._model = model
        self._kept = version
        self._call = call
        self._at = workplace
        self._begun = time.monotonic()
        self._prepared = self._begun
        self._deadline: float | None = None if call.remaining_s is None else self._begun + call.remaining_s
        self._version: Version | None = None
        self._job: Job | None = None
        self._future: Future[Any] | None = None
        self._request: InferRequest | None = None
        self._ended = False

    def begin(self) -> None:
        """Count the request and start on it."""
        self._model.metrics.received()
        self._model.pending += 1
        self._call.on_gone = self._gone
        self._attempt(self._start)

    def _start(self) -> None:
        kept, self._kept = self._kept, None
        version = self._version = self._model.enter(kept)
        if self._call.takes_time:
            self._apart(lambda: self._call.read(version), self._decode)
        else:
            self._decode(self._call.read(version))

    def _decode(self, request: InferRequest) -> None:
        """Turn files into images; go on at once where there are images."""
        (images,) = request.inputs.values()
        request.inputs = {}  # who needs them has them
        self._request = request
        if request.timeout_s is not None:
            deadline = self._begun + request.timeout_s
            self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        if isinstance(images, tuple):
            files = images
            self._apart(lambda: self._pixels(files), self._submit)
        else:
            self._submit(images)

    def _pixels(self, files: tuple[bytes, ...]) -> np.ndarray:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Refusal("late", "the request's timeout passed before its images were decoded; it was not executed")
        assert self._version is not None
        manifest = self._version.bundle.manifest
        images = pixels_of(files, manifest.preprocessing, max_pixels=self._version.bounds.max_pixels)
        if images.shape[1:] != manifest.image_shape:
            raise Refusal(
                "invalid", f"expected an image of {list(manifest.image_shape)}, found {list(images.shape[1:])}"
            )
        return images

    def _submit(self, images: np.ndarray) -> None:
        assert self._version is not None
        self._prepared = time.monotonic()
        self._job = Job(images, self._answered, is_gone=self._call.is_gone, deadline=self._deadline)
        self._version.submit(self._job)

    def _answered(self, outcome: Outcome) -> None:
        if outcome is None:
            self._gone()
        elif isinstance(outcome, Refusal):
            self._refuse(outcome)
        else:
            self._attempt(lambda: self._write(outcome))

    def _write(self, answer: Answer) -> None:
        assert self._request is not None
        assert self._version is not None
        timing = Timing(self._prepared - self._begun, answer.queued_s, answer.inference_s)
        result = Result(self._request, answer.logits, self._version, timing)
        if self._call.writing_takes_time(answer.logits):
            name = self._model.name
            self._apart(lambda: self._call.write(name, result), lambda send: self._succeed(result, send))
        else:
            self._succeed(result, self._call.write(self._model.name, result))

    def _succeed(self, result: Result, send: Callable[[], object]) -> None:
        if self._end():
            timing = result.timing
            times = {
                "preprocess_s": timing.decode_s,
                "queued_s": timing.queue_s,
                "inference_s": timing.inference_s,
            }
            self._model.metrics.succeeded(**times)
            result.version.statistics.succeeded(len(result.logits), **times)
            send()

    def _refuse(self, refusal: Refusal) -> None:
        statistics = (self._version or self._model).statistics
        if self._end():
            if refusal.__cause__ is not None:
                logger.error("a request failed", extra={"model": self._model.name}, exc_info=refusal.__cause__)
            self._model.metrics.failed(refusal.reason)
            statistics.failed(time.monotonic() - self._begun)
            self._call.refuse(refusal)

    def _gone(self) -> None:
        """Stop working for a client that has left."""
        job, version = self._job, self._version
        if self._end():
            if job is not None and version is not None:
                version.withdraw(job)
            self._model.metrics.cancelled()

    def _end(self) -> bool:
        """Whether this is the end; false where it has ended before.

        What holds this object is let go of: in a circle, a body of megabytes would wait for Python's garbage collector,
        which counts objects and not their sizes.
        """
        if self._ended:
            return False
        self._ended = True
        self._model.pending -= 1
        self._call.on_gone = None
        self._job = None
        version, self._version = self._version, None
        if version is not None:
            version.leave()
        future, self._future = self._future, None
        if future is not None:
            future.cancel()  # where it has not begun, it never does
        return True

    def _apart(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do something in a worker thread and go on with what it returns, unless the request has ended meanwhile."""
        self._future = self._at.pool.submit(work)
        self._future.add_done_callback(lambda done: self._back(done, then))

    def _back(self, done: "Future[T]", then: Callable[[T], None]) -> None:
        self._at.loop.call_soon_threadsafe(self._go_on, done, then)

    def _go_on(self, done: "Future[T]", then: Callable[[T], None]) -> None:
        if self._ended or done.cancelled():
            return
        self._future = None
        error = done.exception()  # not raised here: it would hold this frame, and so the future that holds it
        if error is None:
            self._attempt(lambda: then(done.result()))
        elif isinstance(error, Refusal):
            self._refuse(error)
        else:
            self._fail(error)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step; whatever goes wrong in it, the request gets an answer and is counted."""
        try:
            step()
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Answer after a bug, or without memory: this request fails, the server goes on."""
        failure = Refusal("engine", "the server failed on this request; its log says why")
        failure.__cause__ = error
        self._refuse(failure)
