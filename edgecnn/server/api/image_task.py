"""Read one request with images of HTTP or gRPC, decode the images, and continue with them in a subclass.

Short steps run in the event loop's thread, because passing them to another thread takes longer. Long steps (images,
large JSON, compressed bodies) run in worker threads.
"""

import asyncio
import functools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import numpy as np

from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest
from edgecnn.server.api.pictures import Pictures
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.memory import Claim
from edgecnn.server.models.model import Model
from edgecnn.server.models.statistics import Statistics
from edgecnn.server.models.version import Version

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Call(Protocol):
    """A request with images of one protocol, which sends exactly one response.

    Attributes:
        claim: the memory of the request.
        on_gone: called once, in the event loop's thread, if the client disconnects before the response.
        takes_time: whether parsing the request takes longer than passing it to another thread.
        remaining_s: the client's timeout; None if the protocol has none outside the request body.
    """

    claim: Claim
    on_gone: Callable[[], None] | None
    takes_time: bool
    remaining_s: float | None

    def is_gone(self) -> bool:
        """Return whether the client has disconnected; checked just before the run."""
        ...

    def read(self, version: Version) -> InferRequest:
        """Parse the request and release its bytes; called once, in any thread.

        Raises:
            Refusal: the request is malformed or does not match the model.
        """
        ...

    def refuse(self, refusal: Refusal) -> None:
        """Respond with an error."""
        ...


class ImageTask(ABC):
    """One request with images. Every path calls `_end`; only the first call has an effect."""

    def __init__(self, model: Model, call: Call, pool: StepPool, *, version: Version | None = None) -> None:
        self._model = model
        self._kept = version
        self._call = call
        self._pool = pool
        self._begun = time.monotonic()
        self._deadline: float | None = None if call.remaining_s is None else self._begun + call.remaining_s
        self._version: Version | None = None
        self._future: Future[Any] | None = None
        self._request: InferRequest | None = None
        self._ended = False

    def begin(self) -> None:
        """Start the request."""
        self._model.pending += 1
        self._call.on_gone = self._gone
        self._attempt(self._start)

    def _start(self) -> None:
        kept, self._kept = self._kept, None
        version = self._version = self._model.enter(kept)
        if self._call.takes_time:
            self._in_pool(lambda: self._call.read(version), self._decode)
        else:
            self._decode(self._call.read(version))

    def _decode(self, request: InferRequest) -> None:
        """Decode image files; submit pixels at once."""
        (images,) = request.inputs.values()
        request.inputs = {}  # releases the images after the run
        self._request = request
        if request.timeout_s is not None:
            deadline = self._begun + request.timeout_s
            self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        if not isinstance(images, tuple):
            self._submit(images)
            return
        assert self._version is not None
        claim, guard = self._call.claim, self._pool.guard
        pictures = Pictures(images, self._version, claim=claim, guard=guard, begin_image=self._begin_image)
        size = sum(map(len, images))
        self._in_pool(lambda: pictures.decode(is_large=False), lambda found: self._decoded(found, pictures, size))

    def _decoded(self, images: np.ndarray | None, pictures: Pictures, size: int) -> None:
        """Submit the decoded images, or continue in a thread for large images; `size` is the sum of the files."""
        if images is None:
            then = functools.partial(self._decoded, pictures=pictures, size=size)
            self._in_pool(lambda: pictures.decode(is_large=True), then, is_large=True)
        else:
            self._call.claim.release(size)
            self._submit(images)

    def _begin_image(self) -> None:
        """Check before each image that its result is still needed; called in the pool's threads."""
        if self._ended:
            raise Refusal("late", "the client has disconnected")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Refusal("late", "the request's timeout expired before its images were decoded; it was not executed")
        self._pool.begin_image()

    @abstractmethod
    def _submit(self, images: np.ndarray) -> None:
        """Continue with the decoded images, uint8 [N, H, W, C]."""

    @abstractmethod
    def _failed(self, refusal: Refusal, statistics: Statistics) -> None:
        """Count an error response; `statistics` are those of the version, or of the model."""

    @abstractmethod
    def _left(self, version: Version | None) -> None:
        """Count a request whose client disconnected before the response."""

    def _refuse(self, refusal: Refusal) -> None:
        statistics = (self._version or self._model).statistics
        if self._end():
            if refusal.__cause__ is not None:
                logger.error("a request failed", extra={"model": self._model.name}, exc_info=refusal.__cause__)
            self._failed(refusal, statistics)
            self._call.refuse(refusal)

    def _gone(self) -> None:
        """Cancel the request after the client disconnects."""
        version = self._version
        if self._end():
            self._left(version)

    def _end(self) -> bool:
        """Release all resources; return false if the request has already ended.

        References to this object are cleared. In a reference cycle, a body of megabytes would stay in memory until
        Python's garbage collector runs, which counts objects and not their sizes.
        """
        if self._ended:
            return False
        self._ended = True
        self._model.pending -= 1
        self._call.on_gone = None
        version, self._version = self._version, None
        if version is not None:
            version.leave()
        future, self._future = self._future, None
        if future is not None:
            future.cancel()  # has no effect if it has started
        return True

    def _in_pool(self, work: Callable[[], T], then: Callable[[T], None], *, is_large: bool = False) -> None:
        """Run a step in a worker thread, then continue with its result unless the request has ended.

        The claim keeps its memory until the step ends, also if the client disconnects before.
        """
        loop, claim = asyncio.get_running_loop(), self._call.claim

        def done(future: "Future[T]") -> None:
            claim.let_go()
            loop.call_soon_threadsafe(self._continue, future, then)

        claim.keep()
        self._future = self._pool.submit(work, is_large=is_large)
        self._future.add_done_callback(done)

    def _continue(self, done: "Future[T]", then: Callable[[T], None]) -> None:
        if self._ended or done.cancelled():
            return
        self._future = None
        error = done.exception()  # not raised: its traceback would reference this frame and therefore the future
        if error is None:
            self._attempt(lambda: then(done.result()))
        elif isinstance(error, Refusal):
            error.__traceback__ = error.__context__ = None  # they reference the body and each other
            self._refuse(error)
        else:
            self._fail(error)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Run a step; on any error, send an error response and count it."""
        try:
            step()
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Send an error response after a bug or a lack of memory; the server continues."""
        failure = Refusal("engine", "the server failed on this request: see its log")
        failure.__cause__ = error
        self._refuse(failure)
