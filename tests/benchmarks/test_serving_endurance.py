"""What `serving_sigterm.py`, `serving_reload.py` and `serving_soak.py` conclude of what they have seen."""

import numpy as np
import pytest
from serving_reload import summary
from serving_sigterm import Sent, count
from serving_soak import balance, growth, slope


def test_a_request_that_the_server_had_is_lost_without_a_whole_answer():
    sent = [
        Sent("answered", at=1.0, outcome=200),
        Sent("refused", at=3.0, outcome=503),
        Sent("before the signal", at=1.0, outcome="reset"),
        Sent("the log has it", at=3.0, outcome="closed"),
        Sent("a part of the answer came", at=3.0, outcome="partial"),
        Sent("nobody ever said anything", at=3.0, outcome="silence"),
        Sent("never got in", at=3.0, outcome="reset"),
    ]
    found = count(sent, {"answered", "the log has it"}, signalled=2.0)
    assert (found["sent"], found["lost"], found["never_in"], found["unexpected"]) == (7, 4, 1, 0)


def test_any_other_status_is_unexpected():
    assert count([Sent("a", at=1.0, outcome=500)], set(), signalled=2.0)["unexpected"] == 1


def test_counters_balance_where_every_request_has_one_end():
    counters = {"received": 10.0, "succeeded": 5.0, "failed invalid": 2.0, "failed busy": 1.0, "cancelled": 2.0}
    assert balance(counters) == 0
    assert balance(counters | {"cancelled": 1.0}) == 1


def test_a_slope_is_that_of_the_line_through_the_points():
    hours = np.arange(12) / 10
    found = slope(hours, 100 + 3 * hours)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_memory_that_only_wavers_has_a_slope_about_zero():
    samples = [{"seconds": float(i), "resident_mb": 100 + float(np.sin(i / 6))} for i in range(240)]
    found = growth(samples)["mb_per_hour"]
    assert found["low"] < 0 < found["high"]


def test_a_request_that_overlaps_with_a_swap_counts_as_within_it():
    answers = [(0.0, 0.5, "old"), (0.9, 0.2, "old"), (1.5, 0.1, "old"), (1.9, 0.3, "new"), (2.5, 0.5, "new")]
    found = summary([(1.0, 2.0)], answers)
    assert (found["answers"], found["versions_seen"], found["swap_s"]) == (5, 2, 1.0)
    assert (found["quiet_ms"]["max"], found["swapping_ms"]["max"]) == pytest.approx((500, 300))
