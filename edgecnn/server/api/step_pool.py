"""Threads for long steps of requests: decoding images, parsing large JSON, compression.

Large images have threads of their own, one fewer than there are cores. So they cannot occupy all threads, and small
images do not wait for them.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from edgecnn.server.api.suspects import DecodingGuard
from edgecnn.server.decoding_record import DecodingRecord

LARGE_BYTES = 32 << 20
"""An image that needs more memory than this is large: a photograph of about 8 megapixels."""
_STUCK_S = 5.0
"""Time after which a step in each thread makes the server unready."""

T = TypeVar("T")


class StepPool:
    """The threads for long steps. Callable from any thread.

    Attributes:
        guard: records the images that are decoded.
    """

    def __init__(self, cores: int, guard: DecodingGuard | None = None) -> None:
        self.guard = guard or DecodingGuard(DecodingRecord(None))
        self._usual = _Threads(cores, "edgecnn-pool")
        self._large = _Threads(max(1, cores - 1), "edgecnn-large")

    def submit(self, step: Callable[[], T], *, is_large: bool = False) -> "Future[T]":
        """Run a step in a thread; with `is_large`, in one of those for large images."""
        return (self._large if is_large else self._usual).submit(step)

    def begin_image(self) -> None:
        """Measure the time of the current step from now on: it begins with the next image."""
        self._usual.begin_image()
        self._large.begin_image()

    @property
    def waiting(self) -> int:
        """Number of steps that wait for a thread."""
        return self._usual.waiting + self._large.waiting

    def longest_s(self) -> float:
        """Return how long the oldest current step, or its current image, has taken so far, or 0."""
        return max((*self._usual.seconds(), *self._large.seconds()), default=0.0)

    def is_stuck(self) -> bool:
        """Return whether every thread, except for those for large images, has had one step for more than 5 s."""
        seconds = self._usual.seconds()
        return len(seconds) >= self._usual.count and min(seconds) > _STUCK_S

    def close(self) -> None:
        """Wait for all steps, and end the threads."""
        self._usual.close()
        self._large.close()


class _Threads:
    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._started: dict[int, float] = {}  # start of the current step or image of each busy thread
        self._pending: set[Future[Any]] = set()

    @property
    def waiting(self) -> int:
        return max(0, len(self._pending) - len(self._started))

    def seconds(self) -> list[float]:
        now = time.monotonic()
        return [now - start for start in list(self._started.values())]

    def submit(self, step: Callable[[], T]) -> "Future[T]":
        future = self._executor.submit(self._run, step)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def begin_image(self) -> None:
        thread = threading.get_ident()
        if thread in self._started:
            self._started[thread] = time.monotonic()

    def close(self) -> None:
        self._executor.shutdown()

    def _run(self, step: Callable[[], T]) -> T:
        thread = threading.get_ident()
        self._started[thread] = time.monotonic()
        try:
            return step()
        finally:
            del self._started[thread]
