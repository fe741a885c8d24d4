"""A served version of a cascade: dead engines, closing, its metrics, and where it runs."""

import asyncio
import dataclasses
import threading

import numpy as np
import pytest
from engines import KNOWN, Fragile, infer, loaded

from edgecnn.bundle.cascade_record import CascadeCounts, CascadeRecord
from edgecnn.bundle.manifest import SOFTMAX
from edgecnn.bundle.store import Bundle
from edgecnn.protocol.refusal import Refusal
from edgecnn.runtime.cascade import CascadeRule, CascadeSession
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.batching import Job, Outcome
from edgecnn.server.models.loading import Loaded, load
from edgecnn.server.models.model import Model
from edgecnn.server.models.model_metrics import VersionMetrics
from edgecnn.server.models.version import Bounds
from edgecnn.server.options import ServeOptions

BOUNDS = Bounds(max_batch=8, max_pending=4, max_delay_s=0.0, max_pixels=1000)


class Two:
    """A cascade of two fragile engines whose logits are all 0, so that each image runs again."""

    def __init__(self, bundle: Bundle, *, run_ms: float = 10.0, accurate_ms: float = 10.0) -> None:
        self.fast, self.accurate = Fragile(), Fragile()
        session = CascadeSession(self.fast, self.accurate, CascadeRule(1.0, SOFTMAX))
        self.loaded = dataclasses.replace(
            loaded(bundle, self.fast), session=session, run_ms=run_ms, accurate_ms=accurate_ms
        )


def model() -> Model:
    return Model("lenet", BOUNDS, Metrics().of("lenet"))


@pytest.mark.parametrize("run_ms", [0.01, 10.0], ids=["inline", "thread"])
@pytest.mark.parametrize("stage", ["fast", "accurate"])
def test_detects_a_dead_engine_of_either_graph(stage: str, run_ms: float, committed: Bundle):
    async def test() -> None:
        lenet, two = model(), Two(committed, run_ms=run_ms, accurate_ms=run_ms)
        lenet.start(two.loaded, asyncio.get_running_loop(), number=1)
        assert isinstance(await infer(lenet, 1), np.ndarray)
        assert isinstance(await infer(lenet, 3), Refusal)  # too large for the engine
        assert (lenet.state, lenet.has_died) == ("ready", False)
        getattr(two, stage).is_dead = True
        refusal = await infer(lenet, 1)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 500
        assert (lenet.state, lenet.has_died) == ("unavailable", True)

    asyncio.run(test())


def test_closes_both_engines_after_the_last_request(committed: Bundle):
    async def test() -> None:
        lenet, two = model(), Two(committed)
        loop = asyncio.get_running_loop()
        lenet.start(two.loaded, loop, number=1)
        first = lenet.enter()
        lenet.start(loaded(committed, Fragile()), loop, number=2)
        await asyncio.sleep(0.2)
        done: asyncio.Future[Outcome] = loop.create_future()
        first.batcher.submit(Job(KNOWN, done.set_result, is_gone=lambda: False))
        first.leave()
        assert isinstance(await asyncio.wait_for(done, 10), np.ndarray)
        for _ in range(1000):
            if two.fast.is_closed and two.accurate.is_closed:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the engines were not closed")

    asyncio.run(test())


@pytest.mark.parametrize(("run_ms", "accurate_ms", "added"), [(0.01, 0.01, 0), (0.01, 10.0, 1), (10.0, 0.01, 1)])
def test_runs_without_a_thread_only_if_both_graphs_are_fast(
    run_ms: float, accurate_ms: float, added: int, committed: Bundle
):
    async def test() -> None:
        lenet, two = model(), Two(committed, run_ms=run_ms, accurate_ms=accurate_ms)
        before = threading.active_count()
        lenet.start(two.loaded, asyncio.get_running_loop(), number=1)
        assert threading.active_count() == before + added
        lenet.unload()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("run_ms", "accurate_ms", "images"), [(1.0, 4.0, 8), (1.0, 1.0, 32), (4.0, 1.0, 32), (1.0, 1000.0, 1)]
)
def test_limits_a_batch_of_the_accurate_graph_by_its_time(
    run_ms: float, accurate_ms: float, images: int, committed: Bundle
):
    assert Two(committed, run_ms=run_ms, accurate_ms=accurate_ms).loaded.accurate_batch(32) == images


def test_measures_both_graphs(cascade_bundle: Bundle, committed: Bundle):
    both = [load(bundle.path, ServeOptions(), 1) for bundle in (cascade_bundle, committed)]
    assert [each.accurate_ms is not None for each in both] == [True, False]
    for each in both:
        each.session.close()


def record(again: int) -> CascadeRecord:
    counts = CascadeCounts("onnxruntime", images=100, again=again, differing=0, test_images=100, test_again=again)
    data = None  # the metrics do not read the images
    return CascadeRecord(1.0, 0.99, "reserved", data, 0.9, data, 0.01, (counts,), None)  # type: ignore[arg-type]


def test_metrics_compare_the_served_share_with_the_sealed_one(committed: Bundle):
    def found(of: Loaded) -> dict[tuple[str, str], float]:
        lenet = model()

        async def test() -> dict[tuple[str, str], float]:
            lenet.start(of, asyncio.get_running_loop(), number=1)
            await infer(lenet, 2)
            samples = [each for family in VersionMetrics({"lenet": lenet}).collect() for each in family.samples]
            return {(each.name, each.labels.get("stage", "")): each.value for each in samples if "cascade" in each.name}

        return asyncio.run(test())

    two = Two(committed).loaded
    sealed = dataclasses.replace(two, proof=dataclasses.replace(two.proof, cascade=record(again=5)))
    images = {("edgecnn_cascade_images_total", "fast"): 0, ("edgecnn_cascade_images_total", "accurate"): 2}
    assert found(sealed) == images | {("edgecnn_cascade_sealed_share", ""): 0.05}
    assert found(two) == images
    assert found(loaded(committed, Fragile())) == {}
