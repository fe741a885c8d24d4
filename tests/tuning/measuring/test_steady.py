"""Warm-up ends when the times show no trend."""

import random

import pytest

from edgecnn.tuning.measuring.steady import WINDOW, trend, warm_up


def test_detects_rising_and_falling_series():
    assert trend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) < 0.001
    assert trend([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) < 0.001


def test_false_alarms_match_the_level():
    draw = random.Random(0)
    found = sum(trend([draw.random() for _ in range(WINDOW)]) <= 0.05 for _ in range(2000))
    assert 0.02 < found / 2000 < 0.06


def test_equal_values_have_no_trend():
    assert trend([3.0] * 10) == 1.0


def test_p_value_matches_the_formula():
    """Five pairs rise, one falls: S = 4, variance 4 · 3 · 13 / 18 = 8.667, z = (4 - 1) / 2.944 = 1.019."""
    assert trend([10, 15, 14, 20]) == pytest.approx(0.308, abs=0.001)


class Machine:
    """A clock, and a run whose durations come from a list; the last one repeats."""

    def __init__(self, *seconds: float) -> None:
        self.now = 0.0
        self._seconds = seconds
        self.runs = 0

    def run(self) -> None:
        self.now += self._seconds[min(self.runs, len(self._seconds) - 1)]
        self.runs += 1

    def clock(self) -> float:
        return self.now


def test_a_steady_machine_needs_one_window():
    machine = Machine(0.02)
    found = warm_up(machine.run, clock=machine.clock)
    assert found.steady
    assert found.runs == WINDOW


def test_waits_for_slow_first_runs():
    machine = Machine(*(0.1 / (1 + number) + 0.02 for number in range(40)), 0.0205)
    found = warm_up(machine.run, clock=machine.clock, limit_s=60)
    assert found.steady
    assert found.runs > 40


def test_groups_short_runs_into_points():
    machine = Machine(0.001)
    assert warm_up(machine.run, clock=machine.clock).runs == pytest.approx(10 * WINDOW, rel=0.15)


def test_reports_an_unsteady_machine():
    machine = Machine(*(0.01 * number for number in range(1, 500)))
    found = warm_up(machine.run, clock=machine.clock, limit_s=5)
    assert not found.steady
    assert found.seconds >= 5
