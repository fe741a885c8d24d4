"""Batches the jobs of a cascade twice: for its fast graph, and for its accurate graph those images that run again.

Both queues share the instances of the version, so the two graphs never compute on the same cores at once. The queues
take turns: with both queues full, each gets every second run. A batch of the accurate graph is limited so that it takes
about as long as a full batch of the fast one. So an image that runs once waits little longer than without a second
graph, and an image that runs again cannot wait forever. Preferring one queue would let it block the other one, and a
second set of threads would slow down both graphs.

While requests wait for the fast graph, the accurate one leaves a few turns to it, until its batch is full: usually few
images of a batch run again, and runs of single images take more time for each.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.prediction import Stage
from edgecnn.protocol.refusal import Refusal
from edgecnn.runtime.cascade import CascadeRule
from edgecnn.server.models.batching import Batcher, Job
from edgecnn.server.models.instances import Engine, Instances

_MOST_LEFT_TURNS = 3
"""Turns in a row that the accurate graph leaves to the fast one."""


@dataclass(frozen=True)
class StageEngine:
    """One graph of a cascade.

    Attributes:
        run: runs images and returns their logits.
        max_batch: images in a run.
    """

    run: Engine
    max_batch: int


class CascadeBatcher:
    """The two queues of a cascade, with the methods of `Batcher`. Use it in the event loop's thread only.

    Attributes:
        images: number of images by the stage that answers them, refused ones included.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        instances: Instances,
        fast: StageEngine,
        accurate: StageEngine,
        *,
        rule: CascadeRule,
        max_waiting: int,
        max_delay_s: float,
        on_run: Callable[[int, float], object],
    ) -> None:
        """Create empty queues.

        At most `max_waiting` images wait for the accurate graph. If it is idle, a job with more images is accepted too.
        Without requests for the fast graph, its runs wait for no further jobs. For the other arguments see `Batcher`.
        """
        self.images: dict[Stage, int] = {"fast": 0, "accurate": 0}
        self._rule = rule
        self._max_waiting = max_waiting
        self._accurate_batch = accurate.max_batch
        self._left_turns = 0
        self._fast = Batcher(
            loop,
            instances,
            fast.run,
            max_batch=fast.max_batch,
            max_delay_s=max_delay_s,
            on_run=on_run,
            deliver=self._continue,
        )
        self._accurate = Batcher(
            loop,
            instances,
            accurate.run,
            max_batch=accurate.max_batch,
            max_delay_s=0.0,
            on_run=on_run,
            deliver=_merge,
            leaves_turn=self._gathers,
        )

    def submit(self, job: Job) -> None:
        """See `Batcher.submit`."""
        self._fast.submit(job)

    def withdraw(self, job: Job) -> None:
        """See `Batcher.withdraw`."""
        self._fast.withdraw(job)
        self._accurate.withdraw(job)

    def longest_run_s(self) -> float:
        """See `Batcher.longest_run_s`."""
        return self._fast.longest_run_s()

    def is_idle(self) -> bool:
        """See `Batcher.is_idle`."""
        return self._fast.is_idle() and self._accurate.is_idle()

    def close(self) -> None:
        """See `Batcher.close`."""
        self._fast.close()
        self._accurate.close()

    def _gathers(self) -> bool:
        """Return whether the accurate graph leaves its turn to the fast one, to run more images at once later."""
        can_grow = 0 < self._accurate.waiting_images() < self._accurate_batch
        if not can_grow or self._left_turns == _MOST_LEFT_TURNS or not self._fast.waiting_images():
            self._left_turns = 0
            return False
        self._left_turns += 1
        return True

    def _continue(self, job: Job, result: np.ndarray | Refusal) -> None:
        """End a job after its fast run, or queue its images with a small margin for the accurate graph."""
        if isinstance(result, Refusal) or job.images is None:  # None: its client has left
            job.end(result)
            return
        again = job.runs_again = self._rule.runs_again(result)
        count = int(np.count_nonzero(again))
        self.images["fast"] += job.count - count
        self.images["accurate"] += count
        if not count:
            job.end(result)
            return
        waiting = self._accurate.waiting_images()
        if waiting and waiting + count > self._max_waiting:
            job.end(Refusal("busy", f"{waiting} images already wait for the accurate graph: try again later"))
            return
        job.logits = result.copy()  # the engine may own the memory
        if count < job.count:
            job.images, job.count = job.images[again], count  # a copy: the other images can be released
        self._accurate.submit(job)


def _merge(job: Job, result: np.ndarray | Refusal) -> None:
    """End a job after its accurate run, with the logits of both graphs."""
    if isinstance(result, np.ndarray) and job.logits is not None:
        job.logits[job.runs_again] = result
        job.end(job.logits)
    else:
        job.end(result)
