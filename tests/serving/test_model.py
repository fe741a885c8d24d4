"""A model and its engine: what it lets in, and how it tells a request's fault from the engine's death."""

import asyncio
from typing import Any

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.backend import SessionInfo
from edgecnn.serving.batching import Answer, Job, Outcome
from edgecnn.serving.metrics import Metrics
from edgecnn.serving.model import Bounds, Model
from edgecnn.serving.refusal import Refusal

KNOWN = np.zeros((1, 32, 32, 1), np.uint8)
BOUNDS = Bounds(max_batch=8, max_pending=2, max_delay_s=0.0, max_pixels=1000)


class Fragile:
    """An engine that has memory for two images, until it has none at all."""

    info = SessionInfo("fragile", "1", "cpu", "fp32", 1)
    concurrency = 1

    def __init__(self) -> None:
        self.is_dead = False

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        if self.is_dead or len(images) > 2:
            raise EngineError("no memory")
        return np.zeros((len(images), 10), np.float32)

    def close(self) -> None:
        pass


def model() -> Model:
    return Model("lenet", BOUNDS, Metrics().of("lenet"))


async def asked(model: Model, count: int) -> Outcome:
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    model.submit(Job(np.zeros((count, 32, 32, 1), np.uint8), done.set_result, is_gone=lambda: False))
    outcome = await asyncio.wait_for(done, 10)
    await asyncio.sleep(0)  # what the engine's thread has said besides comes first
    return outcome


@pytest.mark.parametrize("run_ms", [0.01, 10.0], ids=["here", "in a thread"])
def test_a_request_that_fails_does_not_harm_the_model_and_an_engine_that_fails_always_does(
    run_ms: float, committed: Bundle
):
    async def test() -> None:
        lenet, engine = model(), Fragile()
        lenet.opened(committed)
        lenet.start(engine, asyncio.get_running_loop(), known=KNOWN, run_ms=run_ms)
        assert isinstance(await asked(lenet, 1), Answer)
        assert isinstance(await asked(lenet, 3), Refusal)
        assert (lenet.state, lenet.has_died) == ("ready", False)
        engine.is_dead = True
        refusal = await asked(lenet, 1)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 500
        assert (lenet.state, lenet.has_died) == ("unavailable", True)
        lenet.close()

    asyncio.run(test())


def test_before_it_is_ready_a_model_lets_nothing_in_and_says_why(committed: Bundle):
    lenet = model()
    with pytest.raises(Refusal, match="loading") as caught:
        lenet.check()
    assert (caught.value.status, dict(caught.value.headers)) == (503, {"Retry-After": "1"})
    with pytest.raises(Refusal, match="loading"):
        lenet.describe()
    lenet.refuse("the engine refused it")
    with pytest.raises(Refusal, match="unavailable: the engine refused it"):
        lenet.check()


def test_more_requests_than_may_wait_are_refused_at_once(committed: Bundle):
    async def test() -> None:
        lenet = model()
        lenet.opened(committed)
        lenet.start(Fragile(), asyncio.get_running_loop(), known=KNOWN, run_ms=10.0)
        lenet.pending = BOUNDS.max_pending  # the one that asks is counted already
        lenet.check()
        lenet.pending = BOUNDS.max_pending + 1
        with pytest.raises(Refusal, match="2 requests wait already") as caught:
            lenet.check()
        assert caught.value.reason == "busy"
        lenet.close()

    asyncio.run(test())


def test_json_is_bounded_by_what_the_largest_batch_can_need(committed: Bundle):
    lenet = model()
    lenet.opened(committed)
    largest: Any = [[[[255] for _ in range(32)] for _ in range(32)] for _ in range(BOUNDS.max_batch)]
    assert len(str(largest)) < lenet.max_json_bytes < 8 << 20
