"""Batches the jobs that queue while the engine is busy, without waiting for more.

As in Crankshaw et al., Clipper: A Low-Latency Online Prediction Serving System, 2017 (section 4.3), a batch forms while
the engine computes the previous one; a delay is added only if it is configured. The queue is used in the event loop's
thread only, so it needs no lock; `instances` runs the engines. `cascade_batching` joins two queues.

All times are `time.monotonic()`. The event loop's own `time()` is too coarse: libuv's changes once per wake-up, in
whole milliseconds.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.instances import Engine, Instance, Instances

logger = logging.getLogger(__name__)


Outcome = np.ndarray | Refusal | None
"""Outcome of a job: logits, float32 [N, K], or an error; None if its client disconnected."""


class Job:
    """The images of one request, from the queue to their logits.

    A job of a cascade may be queued a second time, with the images that its accurate graph runs too.

    Attributes:
        images: uint8 [N, H, W, C]; None after the end, since they can be large.
        count: number of images.
        deadline: by the monotonic clock; a job that has not started by then is not run.
        submitted: when it was queued last, by the monotonic clock.
        queued_s: from its submission to the start of its run; the sum if it was queued twice.
        inference_s: how long the engine ran its batch; the sum of both runs.
        expiry: the timer of its deadline.
        is_gone: returns whether the client has disconnected; called just before a run.
        logits: those of the fast graph of a cascade, float32 [N, K], while the accurate graph runs some images again.
        runs_again: which images the accurate graph of a cascade answers, bool [N]; None before, and without a cascade.
    """

    __slots__ = (
        "_finish", "count", "deadline", "expiry", "images", "inference_s", "is_gone", "logits", "queued_s",
        "runs_again", "submitted",
    )  # fmt: skip

    def __init__(
        self,
        images: np.ndarray,
        finish: Callable[[Outcome], None],
        *,
        is_gone: Callable[[], bool],
        deadline: float | None = None,
    ) -> None:
        """Create a job of images, uint8 [N, H, W, C], from one image to a full batch.

        `finish` takes the outcome, once, in the event loop's thread; it is not called for a job that is withdrawn.
        """
        self.images: np.ndarray | None = images
        self._finish: Callable[[Outcome], None] | None = finish
        self.count = len(images)
        self.is_gone = is_gone
        self.deadline = deadline
        self.submitted = self.queued_s = self.inference_s = 0.0
        self.expiry: asyncio.TimerHandle | None = None
        self.logits: np.ndarray | None = None
        self.runs_again: np.ndarray | None = None

    def begin(self) -> np.ndarray:
        """Return the images for the run and cancel the deadline."""
        assert self.images is not None
        self._cancel_expiry()
        return self.images

    def end(self, outcome: Outcome) -> None:
        """Deliver the outcome, unless the job has already ended."""
        finish, self._finish = self._finish, None
        self.images = self.logits = None
        self.is_gone = _never
        self._cancel_expiry()
        if finish is not None:
            finish(outcome)

    def withdraw(self) -> None:
        """End without delivering an outcome."""
        self._finish = None
        self.end(None)

    def _cancel_expiry(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


def _never() -> bool:
    return False


Deliver = Callable[[Job, np.ndarray | Refusal], object]
"""Takes a job that has run, and its logits or an error."""


class Batcher:
    """The queue of one engine. Everything except the runs happens in the event loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        instances: Instances,
        engine: Engine,
        *,
        max_batch: int,
        max_delay_s: float,
        on_run: Callable[[int, float], object],
        deliver: Deliver = Job.end,
        leaves_turn: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create an empty queue for an engine. Queues that share instances share the cores.

        A batch that is not full waits for more jobs until `max_delay_s` after the submission of its first job. `on_run`
        is called after every run with its number of images and its seconds, and then `deliver` for each job of it.
        `leaves_turn` returns whether queues that share the instances come first although it is the turn of this one.
        """
        self._loop = loop
        self._engine = engine
        self._deliver = deliver
        self._leaves_turn = leaves_turn
        self._max_batch = max_batch
        self._max_delay_s = max_delay_s
        self._on_run = on_run
        self._waiting: deque[Job] = deque()
        self._instances = instances
        self._idle = instances.idle
        instances.add_queue(self._take_turn)
        self._due: asyncio.Handle | None = None
        self._is_delayed = False  # `_due` waits for more jobs
        self._closed = False

    def submit(self, job: Job) -> None:
        """Queue a job. The run starts after the event loop has read other requests, which may join the batch."""
        if self._closed:
            job.end(_unloaded())
            return
        job.submitted = time.monotonic()
        if job.deadline is not None:
            job.expiry = self._loop.call_at(job.deadline, self._expire, job)
        self._waiting.append(job)
        if self._idle and (self._due is None or self._is_delayed):
            if self._due is not None:
                self._due.cancel()
            self._is_delayed = False
            self._due = self._loop.call_soon(self._dispatch)

    def withdraw(self, job: Job) -> None:
        """Remove a job: it is not run unless it has started, and its outcome is not delivered."""
        self._remove(job)
        job.withdraw()

    def waiting_images(self) -> int:
        """Return the number of images in the queue."""
        return sum([job.count for job in self._waiting])

    def longest_run_s(self) -> float:
        """Return how long the oldest current run has taken so far, or 0. May be called from any thread."""
        return self._instances.longest_run_s()

    def is_idle(self) -> bool:
        """Return whether no job waits or runs."""
        return not self._waiting and self._instances.are_idle()

    def close(self) -> None:
        """Refuse the waiting jobs, and end the instances after their current runs."""
        self._closed = True
        if self._due is not None:
            self._due.cancel()
        while self._waiting:
            self._waiting.popleft().end(_unloaded())
        self._instances.end()

    def _take_turn(self, may_leave: bool) -> None:
        """Start runs after a run of any queue, without waiting for the scheduled dispatch."""
        if not self._closed and not (may_leave and self._leaves_turn()):
            if self._due is not None:
                self._due.cancel()
            self._dispatch()

    def _dispatch(self) -> None:
        """Start runs while an instance is idle and a job waits."""
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
                finished = functools.partial(self._finished, instance, jobs)
                instance.start(self._engine, [job.begin() for job in jobs], finished)

    def _batch(self) -> list[Job]:
        """Take jobs from the queue, in order, up to the largest batch; drop jobs of disconnected clients."""
        jobs: list[Job] = []
        room, now = self._share(), time.monotonic()
        while self._waiting and (not jobs or self._waiting[0].count <= room):
            job = self._waiting.popleft()
            if job.deadline is not None and job.deadline <= now:
                job.end(_late(job))
            elif job.is_gone():
                job.end(None)
            else:
                jobs.append(job)
                room -= job.count
        return jobs

    def _share(self) -> int:
        """Return the most images for the next run: the queue is divided among the idle instances."""
        if len(self._idle) == 1:
            return self._max_batch
        return min(self._max_batch, -(-self.waiting_images() // len(self._idle)))

    def _wait_s(self) -> float:
        """Return how long a batch that is not full should wait for more jobs; never past the deadline of a job."""
        if not self._max_delay_s or self.waiting_images() >= self._max_batch:
            return 0.0
        due = self._waiting[0].submitted + self._max_delay_s
        if any(job.deadline is not None and job.deadline <= due for job in self._waiting):
            return 0.0
        return due - time.monotonic()

    def _expire(self, job: Job) -> None:
        self._remove(job)
        job.end(_late(job))

    def _remove(self, job: Job) -> None:
        with contextlib.suppress(ValueError):  # it has already started
            self._waiting.remove(job)

    def _finished(
        self, instance: Instance, jobs: list[Job], started: float, seconds: float, results: list[np.ndarray | Refusal]
    ) -> None:
        """Start the next run, and deliver the outcomes of this one."""
        # First, so that the cores do not wait for responses to be written.
        self._instances.give_back(instance, self._take_turn)
        self._on_run(sum([job.count for job in jobs]), seconds)
        for job, result in zip(jobs, results, strict=True):
            job.queued_s += started - job.submitted
            job.inference_s += seconds
            try:
                self._deliver(job, result)
            except Exception:
                logger.exception("a bug: an outcome was not delivered")  # continue with the other jobs


def _unloaded() -> Refusal:
    return Refusal("unready", "the model is being unloaded")


def _late(job: Job) -> Refusal:
    if job.runs_again is not None:
        return Refusal("late", "the request's timeout passed while it was queued for the accurate graph")
    return Refusal("late", "the request's timeout passed while it was queued; it was not executed")
