"""The counts and verdicts of `sigterm.py`, `reload.py` and `soak.py` in `benchmarks/serving/`."""

from typing import Any

import numpy as np
import pytest

from benchmarks.serving import reload, requests, sigterm, soak
from benchmarks.serving.reload import summary
from benchmarks.serving.sigterm import Sent, count
from benchmarks.serving.soak import balance, growth, slope


def test_counts_lost_requests():
    sent = [
        Sent("answered", at=1.0, outcome=200),
        Sent("refused", at=3.0, outcome=503),
        Sent("before the signal", at=1.0, outcome="reset"),
        Sent("logged", at=3.0, outcome="closed"),
        Sent("partly answered", at=3.0, outcome="partial"),
        Sent("no answer", at=3.0, outcome="silence"),
        Sent("not accepted", at=3.0, outcome="reset"),
    ]
    found = count(sent, {"answered", "logged"}, signalled=2.0)
    assert (found["sent"], found["lost"], found["never_in"], found["unexpected"]) == (7, 4, 1, 0)


def test_counts_any_other_status_as_unexpected():
    assert count([Sent("a", at=1.0, outcome=500)], set(), signalled=2.0)["unexpected"] == 1


def test_counters_balance_if_each_request_ends_once():
    counters = {"received": 10.0, "succeeded": 5.0, "failed invalid": 2.0, "failed busy": 1.0, "cancelled": 2.0}
    assert balance(counters) == 0
    assert balance(counters | {"cancelled": 1.0}) == 1


def test_slope_of_a_line_is_exact():
    hours = np.arange(12) / 10
    found = slope(hours, 100 + 3 * hours)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_slope_of_oscillating_memory_is_near_zero():
    samples = [{"seconds": float(i), "resident_mb": 100 + float(np.sin(i / 6))} for i in range(240)]
    found = growth(samples)["mb_per_hour"]
    assert found["low"] < 0 < found["high"]


def test_counts_overlapping_requests_as_swapping():
    answers = [(0.0, 0.5, "old"), (0.9, 0.2, "old"), (1.5, 0.1, "old"), (1.9, 0.3, "new"), (2.5, 0.5, "new")]
    found = summary([(1.0, 2.0)], answers)
    assert (found["answers"], found["versions_seen"], found["swap_s"]) == (5, 2, 1.0)
    assert (found["quiet_ms"]["max"], found["swapping_ms"]["max"]) == pytest.approx((500, 300))


ORIGIN: dict[str, Any] = {
    "measured_at": "2026-01-01T00:00:00+00:00",
    "site": {"processor": "a processor", "cores": 2, "engines": {"onnxruntime": "1.32"}},
}


def test_reload_page_has_a_row_for_each_network():
    times = {"p50": 1.0, "p99": 7.0, "p99.9": 9.0, "max": 27.0}
    found = {"network": "lenet", "swaps": 20, "answers": 1500, "lost": ["TimeoutError"], "swap_s": 0.7}
    text = reload.page(
        ORIGIN | {"clients": 4, "networks": [found | {"quiet_ms": times, "swapping_ms": times | {"p50": 2.0}}]}
    )
    assert "| lenet | 20 | 1,500 | 1 | 0.70 | 1.00 | 7.00 | 27.0 | 2.00 | 7.00 | 27.0 |" in text
    assert "a processor, 2 cores; onnxruntime 1.32" in text


def test_sigterm_page_shows_lost_requests():
    counts = {"sent": 1500, "sent_after_signal": 3, "lost": 2, "never_in": 1, "unexpected": 0}
    exits = {"exit_codes": {"0": 9, "-9": 1}, "exit_s": {"value": 1.0, "low": 0.9, "high": 1.1}, "longest_exit_s": 1.5}
    how = {"runs": 10, "clients": 8, "statuses": {"200": 1400, "503": 90}}
    text = sigterm.page(ORIGIN | counts | exits | how)
    for row in ("requests sent | 1,500", "answered with 503 | 90", "lost | 2", "exit code -9 | 1"):
        assert f"| {row} |" in text


def test_soak_page_shows_failed_verdicts():
    held = {"resident_mb": 105.0, "worker_mb": 85.0, "pss_mb": 80.0, "descriptors": 22, "threads": 7}
    text = soak.page(
        ORIGIN
        | {
            "minutes": 20.0,
            "started": held | {"threads": 5},
            "before": held,
            "after": held,
            "answers": {"slow": {"408": 34, "200": 6676}},
            "counters": {"received": 6710.0, "failed late": 0.0},
            "verdicts": {"memory_flat": True, "expected_answers": False},
            "memory": {"mb_per_hour": {"value": 0.3, "low": -0.1, "high": 0.5}, "share": 0.001},
        }
    )
    assert "| expected answers | **no** |" in text
    assert "| started | 105 | 85.0 | 80.0 | 22 | 5 |" in text
    assert "| slow | 200: 6,676, 408: 34 |" in text
    assert "counters: received 6,710." in text


def test_parses_the_head_of_an_answer():
    head = requests.parse_head(b"HTTP/1.1 503 Busy\r\nContent-Length: 12\r\nCONNECTION: close\r\n\r\n")
    assert head == requests.Head(status=503, length=12, is_last=True)
