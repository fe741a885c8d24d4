"""What has queued while the engine was busy goes together: batches without waiting for them.

As in Crankshaw et al., Clipper: A Low-Latency Online Prediction Serving System, 2017 (section 4.3), a batch forms while
the engine computes the one before; a delay is added only where it is asked for. The queue belongs to the event loop's
thread alone, so that it needs no lock; where engines run, `instances` says.

Time is the monotonic clock's, which event loops call by. Their own `time()` will not do: libuv's stands still, in whole
milliseconds, until the loop wakes up.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.instances import Instance, Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The logits of a job, and what it went through.

    Attributes:
        logits: float32 [N, K].
        queued_s: from its submission to the start of its run.
        inference_s: how long the engine ran, for the job and those beside it.
    """

    logits: np.ndarray
    queued_s: float
    inference_s: float


class Job:
    """Some images on their way through the engine.

    What it holds of a request, which may be megabytes, is let go of as soon as it is not needed.

    Attributes:
        count: of its images.
        deadline: by the monotonic clock: a job that has not begun by then never does.
        submitted: when it was queued, likewise.
        expiry: the timer of its deadline.
        is_gone: whether nobody waits for it any more; asked just before it runs.
    """

    __slots__ = ("_finish", "_images", "count", "deadline", "expiry", "is_gone", "submitted")

    def __init__(
        self,
        images: np.ndarray,
        finish: Callable[["Outcome"], None],
        *,
        is_gone: Callable[[], bool],
        deadline: float | None = None,
    ) -> None:
        """Describe a job.

        Args:
            images: uint8 [N, H, W, C], at least one, at most as many as a batch.
            finish: takes the outcome, once, in the event loop's thread; never where the job is withdrawn.
            is_gone: see above.
            deadline: see above.
        """
        self._images: np.ndarray | None = images
        self._finish: Callable[[Outcome], None] | None = finish
        self.count = len(images)
        self.is_gone = is_gone
        self.deadline = deadline
        self.submitted = 0.0
        self.expiry: asyncio.TimerHandle | None = None

    def begin(self) -> np.ndarray:
        """Give the images away: the job runs now, and does not expire any more."""
        images, self._images = self._images, None
        assert images is not None
        self._let_go()
        return images

    def end(self, outcome: "Outcome", *, told: bool = True) -> None:
        """Tell the outcome, unless that was done before."""
        finish, self._finish = self._finish, None
        self._images = None
        self._let_go()
        if told and finish is not None:
            finish(outcome)

    def _let_go(self) -> None:
        self.is_gone = _never
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


def _never() -> bool:
    return False


Outcome = Answer | Refusal | None
"""What becomes of a job; None is nothing, since its client has gone."""


class Observer(Protocol):
    """What wants to know of runs; called in the event loop's thread."""

    def ran(self, images: int, seconds: float) -> None:
        """Take note of a run."""
        ...


class Batcher:
    """A queue of jobs before one engine. Everything but the engine's runs happens in the event loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        instances: Sequence[Instance],
        *,
        max_batch: int,
        max_delay_s: float,
        observer: Observer,
    ) -> None:
        """Make an empty queue.

        Args:
            loop: in whose thread jobs come and go.
            instances: of the engine; each runs one batch at a time.
            max_batch: images of a run at most.
            max_delay_s: how long a batch that is not full waits for more, from the submission of its first job.
            observer: told of every run.
        """
        self._loop = loop
        self._max_batch = max_batch
        self._max_delay_s = max_delay_s
        self._observer = observer
        self._waiting: deque[Job] = deque()
        self._instances = tuple(instances)
        self._idle = list(instances)
        self._due: asyncio.Handle | None = None
        self._is_delayed = False  # `_due` waits for company
        self._closed = False

    def submit(self, job: Job) -> None:
        """Queue a job; it is run when the loop has read what else has arrived, which may go with it."""
        job.submitted = time.monotonic()
        if job.deadline is not None:
            job.expiry = self._loop.call_at(job.deadline, self._expire, job)
        self._waiting.append(job)
        if self._idle and (self._due is None or self._is_delayed):
            self._dispatch_soon()

    def withdraw(self, job: Job) -> None:
        """Forget a job: it is not run if it has not begun, and its answer goes to nobody."""
        self._take_out(job)
        job.end(None, told=False)

    def longest_run_s(self) -> float:
        """Return for how long the oldest run has been under way; 0 where none is. Any thread may ask."""
        starts = [instance.started for instance in self._instances]
        return max((time.monotonic() - start for start in starts if start is not None), default=0.0)

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and len(self._idle) == len(self._instances)

    def close(self) -> None:
        """End the instances, after the runs under way; jobs that still wait are refused."""
        self._closed = True
        if self._due is not None:
            self._due.cancel()
        while self._waiting:
            self._waiting.popleft().end(Refusal("unready", "the model is being unloaded"))
        for instance in self._instances:
            instance.end()

    def _dispatch_soon(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._is_delayed = False
        self._due = self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Start runs while there is an idle instance and something to run."""
        self._due = None
        while self._idle and self._waiting:
            wait_s = self._wait_s()
            if wait_s > 0:
                self._is_delayed = True
                self._due = self._loop.call_later(wait_s, self._dispatch)
                return
            jobs = self._batch()
            if jobs:
                instance = self._idle.pop()
                instance.start([job.begin() for job in jobs], functools.partial(self._finished, instance, jobs))

    def _batch(self) -> list[Job]:
        """Take jobs from the queue, in their order, up to the largest batch; drop those that nobody waits for."""
        jobs: list[Job] = []
        room, now = self._share(), time.monotonic()
        while self._waiting and (not jobs or self._waiting[0].count <= room):
            job = self._waiting.popleft()
            if job.deadline is not None and job.deadline <= now:
                job.end(_late())
            elif job.is_gone():
                job.end(None)
            else:
                jobs.append(job)
                room -= job.count
        return jobs

    def _share(self) -> int:
        """Return how many images the next run should have: what waits is shared among the instances that are idle."""
        if len(self._idle) == 1:
            return self._max_batch
        waiting = sum(job.count for job in self._waiting)
        return min(self._max_batch, -(-waiting // len(self._idle)))

    def _wait_s(self) -> float:
        """Return for how long a batch that is not full should wait for more; no job waits until it is too late."""
        if not self._max_delay_s or sum(job.count for job in self._waiting) >= self._max_batch:
            return 0.0
        due = self._waiting[0].submitted + self._max_delay_s
        if any(job.deadline is not None and job.deadline <= due for job in self._waiting):
            return 0.0
        return due - time.monotonic()

    def _expire(self, job: Job) -> None:
        self._take_out(job)
        job.end(_late())

    def _take_out(self, job: Job) -> None:
        with contextlib.suppress(ValueError):  # it has begun
            self._waiting.remove(job)

    def _finished(self, instance: Instance, jobs: list[Job], run: Run) -> None:
        """Start the next run, and hand out the answers of the one before."""
        self._idle.append(instance)
        if not self._closed:
            if self._due is not None:
                self._due.cancel()
            self._dispatch()  # first: the engine should not wait for answers to be written
        self._observer.ran(run.images, run.seconds)
        for job, result in zip(jobs, run.results, strict=True):
            outcome: Outcome = (
                result if isinstance(result, Refusal) else Answer(result, run.started - job.submitted, run.seconds)
            )
            try:
                job.end(outcome)
            except Exception:
                logger.exception("a bug: an answer was not given")  # the others of the batch get theirs


def _late() -> Refusal:
    return Refusal("late", "the request's timeout passed while it was queued; it was not executed")
