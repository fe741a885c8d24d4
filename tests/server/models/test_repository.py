"""The repository and the models after a bug: no model stays in the state loading."""

import asyncio
import queue
import threading
from pathlib import Path

from engines import Fragile, loaded
from repository import COMMITTED

from edgecnn.bundle.store import Bundle
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.application import HttpApplication
from edgecnn.server.api.service import Service
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.catalogue import Handoff, Source
from edgecnn.server.models.load_queue import LoadOrder, LoadQueue
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.model_host import FAILED, ModelHost, models_of
from edgecnn.server.models.repository import OpenBundle, Repository
from edgecnn.server.options import ServeOptions

PATIENCE_S = 30.0


class RecordingHost:
    """Records the calls, and raises for one model."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()

    def serve(self, name: str, number: str, loaded: Loaded, seconds: float) -> None:
        if name == "broken":
            raise AssertionError("a bug")
        self.calls.put(("serve", name, number))

    def refuse(self, name: str, reason: str) -> None:
        self.calls.put(("refuse", name, reason))

    def unload(self, name: str) -> None:
        self.calls.put(("unload", name))

    def loaded(self) -> None:
        self.calls.put(("loaded",))

    def end(self, order: LoadOrder, refusal: Refusal | None) -> None:
        self.calls.put(("end", order.name, str(refusal)))


def begin(host: RecordingHost, names: tuple[str, ...], open_bundle: OpenBundle) -> LoadQueue:
    queue = LoadQueue()
    repository = Repository(
        [Source(name, COMMITTED) for name in names],
        [COMMITTED],
        host,
        queue,
        open_bundle=open_bundle,
        handoffs=[Handoff("asleep", is_unloaded=True)],
        remember=lambda handoff: None,
        watch_s=0,
    )
    threading.Thread(target=repository.run, daemon=True).start()
    return queue


def test_a_bug_affects_only_its_model(committed: Bundle):
    host = RecordingHost()
    begin(host, ("a", "broken", "asleep", "b"), lambda path, **options: loaded(committed, Fragile()))
    assert [host.calls.get(timeout=PATIENCE_S) for _ in range(5)] == [
        ("serve", "a", 1),
        ("refuse", "broken", FAILED),
        ("unload", "asleep"),
        ("serve", "b", 1),
        ("loaded",),
    ]


def test_opens_in_the_background_only_while_models_are_served(committed: Bundle):
    host, seen = RecordingHost(), []

    def open_bundle(path: Path, *, in_background: bool) -> Loaded:
        seen.append(in_background)
        return loaded(committed, Fragile())

    orders = begin(host, ("a", "asleep", "b"), open_bundle)
    while host.calls.get(timeout=PATIENCE_S) != ("loaded",):
        pass
    orders.put("load", "asleep", lambda refusal: None)
    while host.calls.get(timeout=PATIENCE_S)[0] != "end":
        pass
    assert seen == [False, False, True]


class Unusable(Fragile):
    """An engine whose `instances` raises."""

    @property
    def instances(self) -> int:  # type: ignore[override]
        raise AssertionError("a bug")


def test_a_bug_keeps_the_current_version(committed: Bundle):
    async def scenario() -> None:
        metrics, options = Metrics(), ServeOptions()
        models = models_of(("a", "b"), options, metrics)
        service = Service(models, budget=MemoryBudget(1 << 30), api_key=None)
        application = HttpApplication(service, metrics, max_body_bytes=1, trusted_hosts=(), pages={})
        done = asyncio.Event()
        host = ModelHost(
            asyncio.get_running_loop(),
            models,
            lay_out=application.lay_out,
            options=options,
            metrics=metrics,
            serves=lambda: None,
            loaded=done.set,
        )
        host.serve("a", 1, loaded(committed, Fragile()), 0.0)
        for name in ("a", "b"):
            host.serve(name, 2, loaded(committed, Unusable()), 0.0)
        host.loaded()
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        assert [(model.state, model.number, model.reason) for model in models.values()] == [
            ("ready", 1, FAILED),
            ("unavailable", None, FAILED),
        ]

    asyncio.run(scenario())
