"""A batcher with an engine that tests block and unblock."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from edgecnn.errors import EngineError
from edgecnn.server.models.batching import Batcher, Job, Outcome
from edgecnn.server.models.instances import Instances, ThreadRunner


class Engine:
    """Returns the first pixel of each image; waits while `may_run` is cleared."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may_run = threading.Event()
        self.entered = threading.Semaphore(0)
        self.may_run.set()

    def run(self, images: np.ndarray) -> np.ndarray:
        self.entered.release()
        assert self.may_run.wait(10)
        self.batches.append(len(images))
        if (images[:, 0, 0, 0] == 255).any():
            raise EngineError("255 is too much")
        return images[:, 0, 0, :1].astype(np.float32)


class Bench:
    """A batcher with an engine, and the outcomes of its jobs."""

    def __init__(self, *, instances: int = 1, **settings: Any) -> None:
        self.engine = Engine()
        self.outcomes: dict[int, Outcome] = {}
        self.runs: list[int] = []
        self.loop = asyncio.get_running_loop()
        defaults: dict[str, Any] = {"max_batch": 8, "max_delay_s": 0.0}
        threads = Instances([ThreadRunner(self.loop) for _ in range(instances)])
        self.batcher = Batcher(self.loop, threads, self.engine.run, on_run=self.ran, **defaults | settings)

    def ran(self, images: int, seconds: float) -> None:
        self.runs.append(images)

    def submit(self, value: int, count: int = 1, *, gone: bool = False, timeout_s: float | None = None) -> Job:
        images = np.full((count, 2, 2, 1), value, np.uint8)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        job = Job(
            images, lambda outcome: self.outcomes.update({value: outcome}), is_gone=lambda: gone, deadline=deadline
        )
        self.batcher.submit(job)
        return job

    async def block(self) -> None:
        """Block the engine until `unblock`, with one job in it."""
        self.engine.may_run.clear()
        self.submit(100)
        await self.entered()

    async def entered(self) -> None:
        """Wait until a run starts."""
        for _ in range(1000):
            if self.engine.entered.acquire(blocking=False):
                return
            await asyncio.sleep(0.01)
        pytest.fail("no run has started")

    async def outcome(self, value: int) -> None:
        """Wait for the outcome of a job."""
        for _ in range(1000):
            if value in self.outcomes:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the job has no outcome")

    async def unblock(self, jobs: int) -> None:
        """Unblock the engine, and wait for the outcomes of a number of jobs."""
        self.engine.may_run.set()
        for _ in range(1000):
            if len(self.outcomes) >= jobs:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{len(self.outcomes)} of {jobs} jobs were answered")


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test as a coroutine."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def logits(outcome: Outcome) -> list[float]:
    assert isinstance(outcome, np.ndarray)
    return outcome[:, 0].tolist()
