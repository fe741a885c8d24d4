"""Tests of the service's check for room in its models."""

import pytest

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.service import Service
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.model import Model, State
from edgecnn.server.models.version import Bounds

BOUNDS = Bounds(max_batch=1, max_pending=2, max_delay_s=0.0, max_pixels=1000)


def service(*models: tuple[State, int]) -> Service:
    """Return a service of models with the given states and numbers of pending requests."""
    metrics, found = Metrics(), {}
    for number, (state, pending) in enumerate(models):
        found[str(number)] = model = Model(str(number), BOUNDS, metrics.of(str(number)))
        model.state, model.pending = state, pending
    return Service(found, budget=MemoryBudget(1 << 30), api_key=None)


@pytest.mark.parametrize(
    "models",
    [
        [],
        [("ready", 1)],
        [("ready", 2), ("ready", 0)],
        [("loading", 0)],  # the error is `unready`, not `busy`
        [("unavailable", 2)],
    ],
)
def test_has_room_unless_all_ready_models_are_full(models: list[tuple[State, int]]):
    service(*models).check_room()


@pytest.mark.parametrize(
    ("models", "waiting"), [([("ready", 2)], 2), ([("ready", 2), ("loading", 0), ("ready", 3)], 5)]
)
def test_is_busy_if_all_ready_models_are_full(models: list[tuple[State, int]], waiting: int):
    with pytest.raises(Refusal, match=f"{waiting} requests are already queued: try again later") as caught:
        service(*models).check_room()
    assert caught.value.reason == "busy"
