"""A model and its engine: accepted requests, dead engines, and changes of version."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from engines import KNOWN, Fragile, infer, loaded

from edgecnn.bundle.store import Bundle
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.batching import Job, Outcome
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Bounds

BOUNDS = Bounds(max_batch=8, max_pending=2, max_delay_s=0.0, max_pixels=1000)


def model() -> Model:
    return Model("lenet", BOUNDS, Metrics().of("lenet"))


async def until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition was not met in time")


@pytest.mark.parametrize("run_ms", [0.01, 10.0], ids=["inline", "thread"])
def test_detects_a_dead_engine(run_ms: float, committed: Bundle):
    async def test() -> None:
        lenet, engine = model(), Fragile()
        lenet.start(loaded(committed, engine, run_ms=run_ms), asyncio.get_running_loop(), number=1)
        assert isinstance(await infer(lenet, 1), np.ndarray)
        assert isinstance(await infer(lenet, 3), Refusal)
        assert (lenet.state, lenet.has_died) == ("ready", False)
        engine.is_dead = True
        refusal = await infer(lenet, 1)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 500
        assert (lenet.state, lenet.has_died) == ("unavailable", True)

    asyncio.run(test())


def test_refuses_requests_before_it_is_ready():
    lenet = model()
    with pytest.raises(Refusal, match="loading") as caught:
        lenet.enter()
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
    lenet.refuse("the engine rejected it")
    with pytest.raises(Refusal, match="unavailable: the engine rejected it"):
        lenet.enter()


def test_refuses_more_requests_than_may_wait(committed: Bundle):
    async def test() -> None:
        lenet = model()
        lenet.start(loaded(committed, Fragile()), asyncio.get_running_loop(), number=1)
        lenet.pending = BOUNDS.max_pending  # includes the current request
        lenet.enter().leave()
        lenet.pending = BOUNDS.max_pending + 1
        with pytest.raises(Refusal, match="2 requests are already queued") as caught:
            lenet.enter()
        assert caught.value.reason == "busy"

    asyncio.run(test())


def test_limits_json_by_the_largest_batch(committed: Bundle):
    async def test() -> None:
        lenet = model()
        lenet.start(loaded(committed, Fragile()), asyncio.get_running_loop(), number=1)
        largest: Any = [[[[255] for _ in range(32)] for _ in range(32)] for _ in range(BOUNDS.max_batch)]
        assert len(str(largest)) < lenet.version.max_json_bytes < 8 << 20

    asyncio.run(test())


@pytest.mark.parametrize("run_ms", [0.01, 10.0], ids=["inline", "thread"])
def test_closes_a_version_after_its_last_request(run_ms: float, committed: Bundle):
    async def test() -> None:
        lenet, old, new = model(), Fragile(), Fragile()
        loop = asyncio.get_running_loop()
        lenet.start(loaded(committed, old, run_ms=run_ms), loop, number=1)
        first = lenet.enter()
        lenet.start(loaded(committed, new, run_ms=run_ms), loop, number=2)
        assert (lenet.number, lenet.enter().number) == (2, 2)
        await asyncio.sleep(0.2)
        done: asyncio.Future[Outcome] = loop.create_future()
        first.batcher.submit(Job(KNOWN, done.set_result, is_gone=lambda: False))
        first.leave()
        assert isinstance(await asyncio.wait_for(done, 10), np.ndarray)
        await until(lambda: old.is_closed)
        assert not new.is_closed
        assert isinstance(await infer(lenet, 1), np.ndarray)

    asyncio.run(test())


class SlowToClose(Fragile):
    """An engine whose `close` waits for an event."""

    def __init__(self) -> None:
        super().__init__()
        self.may_close = threading.Event()

    def close(self) -> None:
        self.may_close.wait()
        super().close()


def test_answers_while_an_old_engine_closes(committed: Bundle):
    async def test() -> None:
        lenet, old = model(), SlowToClose()
        lenet.start(loaded(committed, old), asyncio.get_running_loop(), number=1)
        lenet.start(loaded(committed, Fragile()), asyncio.get_running_loop(), number=2)
        await until(lambda: "edgecnn-close" in {thread.name for thread in threading.enumerate()})
        assert isinstance(await infer(lenet, 1), np.ndarray)
        assert not old.is_closed
        old.may_close.set()
        await until(lambda: old.is_closed)

    asyncio.run(test())


def test_a_rejected_version_keeps_the_old_one(committed: Bundle):
    async def test() -> None:
        lenet = model()
        lenet.start(loaded(committed, Fragile()), asyncio.get_running_loop(), number=1)
        lenet.refuse("version 2 was refused: it is not an intact bundle")
        assert (lenet.state, lenet.number) == ("ready", 1)
        assert "version 2" in lenet.reason

    asyncio.run(test())


def test_refuses_requests_while_unloaded(committed: Bundle):
    async def test() -> None:
        lenet, engine = model(), Fragile()
        loop = asyncio.get_running_loop()
        lenet.start(loaded(committed, engine), loop, number=1)
        lenet.unload()
        assert (lenet.state, lenet.number) == ("unavailable", None)
        await until(lambda: engine.is_closed)
        with pytest.raises(Refusal, match="unavailable: it was unloaded"):
            lenet.enter()
        lenet.start(loaded(committed, Fragile()), loop, number=1)
        assert lenet.state == "ready"

    asyncio.run(test())
