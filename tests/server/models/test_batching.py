"""The queue before an engine: what goes together, what is never run, and what fails alone."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from edgecnn.errors import EngineError
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.batching import Batcher, Job, Outcome
from edgecnn.server.models.instances import InlineRunner, ThreadRunner


class Engine:
    """Answers each image with its own first pixel, when it is allowed to."""

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
    """A batcher with an engine, and what became of its jobs."""

    def __init__(self, *, instances: int = 1, **settings: Any) -> None:
        self.engine = Engine()
        self.outcomes: dict[int, Outcome] = {}
        self.runs: list[int] = []
        self.loop = asyncio.get_running_loop()
        defaults: dict[str, Any] = {"max_batch": 8, "max_delay_s": 0.0}
        threads = [ThreadRunner(self.engine.run, self.loop) for _ in range(instances)]
        self.batcher = Batcher(self.loop, threads, on_run=self.ran, **defaults | settings)

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
        """Let the engine run nothing before `unblock`; one job is inside of it then."""
        self.engine.may_run.clear()
        self.submit(100)
        await self.entered()

    async def entered(self) -> None:
        """Wait until a run has begun."""
        for _ in range(1000):
            if self.engine.entered.acquire(blocking=False):
                return
            await asyncio.sleep(0.01)
        pytest.fail("no run has begun")

    async def outcome(self, value: int) -> None:
        """Wait for the outcome of a job."""
        for _ in range(1000):
            if value in self.outcomes:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the job has no outcome")

    async def unblock(self, jobs: int) -> None:
        """Let it run, until so many jobs have their outcome."""
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


@in_a_loop
async def test_what_queues_while_the_engine_is_busy_goes_together():
    bench = Bench()
    await bench.block()
    for value in range(5):
        bench.submit(value)
    await bench.unblock(6)
    assert bench.engine.batches == [1, 5]
    assert [logits(bench.outcomes[value]) for value in range(5)] == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert bench.runs == [1, 5]
    bench.batcher.close()


@in_a_loop
async def test_a_run_never_has_more_images_than_the_largest_batch():
    bench = Bench(max_batch=4)
    await bench.block()
    for value in range(4):
        bench.submit(value, count=3)
    await bench.unblock(5)
    assert bench.engine.batches == [1, 3, 3, 3, 3]
    assert logits(bench.outcomes[2]) == [2.0, 2.0, 2.0]
    bench.batcher.close()


@in_a_loop
async def test_what_waits_is_shared_among_the_instances_that_are_idle():
    bench = Bench(instances=2)
    bench.engine.may_run.clear()
    for value in (1, 2, 3):
        bench.submit(value)
    await bench.entered()
    await bench.entered()
    await bench.unblock(3)
    assert sorted(bench.engine.batches) == [1, 2]
    bench.batcher.close()


@in_a_loop
async def test_a_job_whose_time_has_passed_is_refused_while_it_queues_and_never_run():
    bench = Bench()
    await bench.block()
    bench.submit(7, timeout_s=0.05)
    await asyncio.sleep(0.2)
    outcome = bench.outcomes[7]
    assert isinstance(outcome, Refusal)
    assert outcome.status == 504
    await bench.unblock(2)
    assert bench.engine.batches == [1]
    bench.batcher.close()


@in_a_loop
async def test_a_job_whose_client_has_gone_or_that_was_withdrawn_is_never_run():
    bench = Bench()
    await bench.block()
    bench.submit(1, gone=True)
    bench.batcher.withdraw(bench.submit(2))
    bench.submit(3)
    await bench.unblock(3)
    assert bench.engine.batches == [1, 1]
    assert bench.outcomes[1] is None
    assert 2 not in bench.outcomes
    bench.batcher.close()


@in_a_loop
async def test_a_job_that_is_withdrawn_while_it_runs_is_answered_to_nobody():
    bench = Bench()
    bench.engine.may_run.clear()
    job = bench.submit(1)
    await bench.entered()
    bench.batcher.withdraw(job)
    bench.submit(2)
    await bench.unblock(1)
    assert set(bench.outcomes) == {2}
    bench.batcher.close()


@in_a_loop
async def test_no_job_fails_for_its_neighbours_sake():
    bench = Bench()
    await bench.block()
    for value in (1, 255, 2):
        bench.submit(value)
    await bench.unblock(4)
    assert logits(bench.outcomes[1]) == [1.0]
    assert logits(bench.outcomes[2]) == [2.0]
    refusal = bench.outcomes[255]
    assert isinstance(refusal, Refusal)
    assert (refusal.status, str(refusal.__cause__)) == (500, "255 is too much")
    assert "255 is too much" not in str(refusal)
    bench.batcher.close()


@in_a_loop
async def test_a_delay_lets_others_join():
    bench = Bench(max_delay_s=1.0, max_batch=3)
    bench.submit(1)
    await asyncio.sleep(0.05)
    assert bench.engine.batches == []
    bench.submit(2)
    await bench.unblock(2)
    assert bench.engine.batches == [2]
    bench.batcher.close()


@in_a_loop
async def test_a_full_batch_does_not_wait():
    bench = Bench(max_delay_s=600.0, max_batch=3)
    for value in (3, 4, 5):
        bench.submit(value)
    await bench.unblock(3)
    assert bench.engine.batches == [3]
    bench.batcher.close()


@in_a_loop
async def test_the_oldest_run_tells_how_long_the_engine_has_not_come_back():
    bench = Bench()
    assert bench.batcher.longest_run_s() == 0
    await bench.block()
    await asyncio.sleep(0.05)
    assert bench.batcher.longest_run_s() >= 0.04
    await bench.unblock(1)
    assert bench.batcher.longest_run_s() == 0
    bench.batcher.close()


@in_a_loop
async def test_jobs_that_wait_when_the_queue_is_closed_are_refused():
    bench = Bench()
    await bench.block()
    bench.submit(1)
    bench.batcher.close()
    refusal = bench.outcomes[1]
    assert isinstance(refusal, Refusal)
    assert refusal.status == 503
    await bench.unblock(2)
    assert logits(bench.outcomes[100]) == [100.0]


@in_a_loop
async def test_a_run_that_is_over_soon_takes_no_thread_and_what_came_together_goes_together():
    bench = Bench()
    threads = threading.active_count()
    bench.batcher = Batcher(
        bench.loop, [InlineRunner(bench.engine.run, bench.loop)], max_batch=2, max_delay_s=0.0, on_run=bench.ran
    )
    for value in (1, 255, 3):
        bench.submit(value)
    assert not bench.outcomes  # nothing happens before the loop has read what else there is
    await bench.unblock(3)
    assert threading.active_count() == threads
    assert bench.runs == [2, 1]
    assert (logits(bench.outcomes[1]), logits(bench.outcomes[3])) == ([1.0], [3.0])
    assert isinstance(bench.outcomes[255], Refusal)


@in_a_loop
async def test_a_batch_that_becomes_full_while_it_waits_for_company_waits_no_longer():
    bench = Bench(max_delay_s=30.0, max_batch=2)
    bench.submit(1)
    await asyncio.sleep(0.05)
    assert bench.engine.batches == []
    bench.submit(2)
    await bench.unblock(2)
    assert bench.engine.batches == [2]
    bench.batcher.close()


@in_a_loop
async def test_nothing_waits_for_company_until_it_is_too_late():
    bench = Bench(max_delay_s=30.0)
    bench.submit(1)
    bench.submit(2, timeout_s=5.0)
    await bench.unblock(2)
    assert logits(bench.outcomes[2]) == [2.0]
    bench.batcher.close()


@in_a_loop
async def test_what_a_job_holds_is_let_go_of_as_soon_as_it_ends():
    bench = Bench()
    await bench.block()
    left = bench.submit(1)
    late = bench.submit(2, timeout_s=0.01)
    images = [weakref.ref(job._images) for job in (left, late)]
    bench.batcher.withdraw(left)
    await bench.outcome(2)
    assert [image() for image in images] == [None, None]
    assert not bench.batcher._waiting
    await bench.unblock(2)
    bench.batcher.close()
