"""Latency of several sessions in one process."""

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.tuning.measuring.estimates import median_ms


def test_returns_a_median_for_each_session(committed: Bundle):
    sessions = {engine: open_session(committed, engine=engine) for engine in installed()}
    found = median_ms(sessions, committed.self_test().images[:1], rounds=4, turn_s=0.02)
    assert set(found) == set(installed())
    for each in found.values():
        assert 0 < each.low <= each.value <= each.high
