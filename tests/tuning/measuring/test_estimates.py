"""Estimates: coverage of the intervals, and the values."""

import numpy as np
import pytest

from edgecnn.tuning.measuring.estimates import Rounds, change, ratio, speed
from edgecnn.tuning.measuring.turn import Turn


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


def test_change_is_corrected_by_the_yardstick():
    draw = np.random.default_rng(0)
    before = rounds(draw, 10)
    slower = change(before, rounds(draw, 12))
    assert slower.value == pytest.approx(0.2, abs=0.04)
    assert slower.low > 0
    same = change(before, rounds(draw, 10, machine=1.7))
    assert same.low < 0 < same.high
