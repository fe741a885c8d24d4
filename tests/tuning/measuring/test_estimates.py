"""Estimates: coverage of the intervals, and the values."""

import numpy as np
import pytest

from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.estimates import Rounds, as_fast, ratio, ratio_between, speed, why_uncertain
from edgecnn.tuning.measuring.turn import Settled, Turn


def turns(draw: np.random.Generator, median_ms: float) -> list[Turn]:
    """Return twelve turns with random variation between turns and between runs."""
    found = []
    for _ in range(12):
        times = median_ms * np.exp(draw.normal(0, 0.05)) * np.exp(draw.normal(0, 0.02, 20))
        found.append(Turn(tuple(times), 20, float(times.sum() / 1e3)))
    return found


@pytest.mark.slow
def test_interval_of_a_median_covers_the_truth():
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        found = speed(turns(draw, 10.0)).p50_ms
        held += found.low <= 10.0 <= found.high
    assert held >= 50  # a bootstrap of twelve turns is a little too narrow


def test_percentiles_and_throughput_use_all_runs():
    found = speed([Turn((1.0, 2.0, 3.0), 6, 0.006), Turn((4.0, 5.0, 6.0), 6, 0.015)])
    assert found.p50_ms.value == 3.5
    assert found.p90_ms.value == pytest.approx(5.5)
    assert found.p99_ms.value == pytest.approx(5.95)
    assert found.images_per_s.value == pytest.approx(12 / 0.021)
    assert found.runs == 6
    assert found.turns_ms == (2.0, 5.0)


def test_intervals_are_reproducible():
    same = turns(np.random.default_rng(0), 10.0)
    assert speed(same) == speed(same)


def test_ratios_cancel_drifts_of_the_machine():
    draw = np.random.default_rng(0)
    moods = np.exp(draw.normal(0, 0.5, 12))
    slow = list(20 * moods * np.exp(draw.normal(0, 0.01, 12)))
    fast = list(10 * moods * np.exp(draw.normal(0, 0.01, 12)))
    found = ratio(slow, fast)
    assert found.value == pytest.approx(2, rel=0.02)
    assert found.high - found.low < 0.1


def rounds(draw: np.random.Generator, median_ms: float, *, machine: float = 1.0) -> Rounds:
    times = median_ms * machine * np.exp(draw.normal(0, 0.02, 12))
    return Rounds(tuple(times), tuple(machine * np.exp(draw.normal(0, 0.02, 12))))


def test_yardstick_corrects_the_ratio():
    draw = np.random.default_rng(0)
    before = rounds(draw, 10)
    slower = ratio_between(before, rounds(draw, 12))
    assert slower.value == pytest.approx(10 / 12, abs=0.04)
    assert slower.high < 1
    same = ratio_between(before, rounds(draw, 10, machine=1.7))
    assert same.low < 1 < same.high


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (29.53, "29.5 × [26.6, 32.5] as fast"),
        (1.6, "1.60 × [1.44, 1.76] as fast"),
        (0.8, "0.80 × [0.72, 0.88] as fast"),
        (0.996, "0.996 × [0.896, 1.096] as fast"),
        (0.05, "0.050 × [0.045, 0.055] as fast"),
    ],
)
def test_ratios_read_one_way(value: float, expected: str):
    assert as_fast(Estimate(value, 0.9 * value, 1.1 * value)) == expected


def test_a_wide_interval_is_uncertain():
    idle, busy = Settled([], 12, 0, is_busy=False), Settled([], 12, 9, is_busy=True)
    narrow, wide = Estimate(1.6, 1.5, 1.8), Estimate(1.6, 1.4, 1.8)
    assert why_uncertain(idle, [None, narrow]) is None
    text = "this machine is busy: no speed comparison"
    assert why_uncertain(idle, [narrow, None, wide]) == f"{text} (a ratio varies from 1.40 to 1.80)"
    assert why_uncertain(busy, [narrow]) == f"{text} (other work disturbed 9 of 12 rounds)"
