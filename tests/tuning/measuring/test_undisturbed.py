"""Rounds that other work disturbs: they are recognised, repeated, and left out."""

from collections.abc import Callable

import pytest
from busy_machine import FakeMachine

from edgecnn.tuning.measuring.estimates import medians_ms, ratio
from edgecnn.tuning.measuring.turn import Settled, Turn, interleave, settle, undisturbed

COUNTED = pytest.mark.parametrize("counts_waits", [True, False], ids=["linux", "elsewhere"])


def taken(*held_up_s: float | None, seconds: float = 1.0) -> list[Turn]:
    return [Turn((1.0,), 100, seconds, held_up_s=held) for held in held_up_s]


def test_a_round_counts_if_no_candidate_is_disturbed():
    assert undisturbed([taken(0.0, 0.5, 0.09), taken(0.09, 0.0, 0.0)]) == [0, 2]
    assert undisturbed([taken(0.0, 0.0, 0.0), taken(0.2, 0.2, 0.0)]) == [2]
    assert undisturbed([taken(0.0, 0.0), taken(0.9)]) == [0, 1]  # the second candidate failed
    assert undisturbed([]) == []


def test_processor_time_shows_a_disturbed_turn():
    turns = [Turn((1.0,), 1, 1.0, cpu_s=cpu) for cpu in (1.0, 0.91, 0.89, 2.0, 0.3)]
    assert undisturbed([turns]) == [0, 1, 3]


def test_spread_shows_a_disturbed_turn():
    turns = [Turn((1.0,), images, 1.0) for images in (100, 81, 79, 100, 40)]
    assert undisturbed([turns]) == [0, 1, 3]


def test_settles_for_half_of_the_rounds():
    found = settle([taken(0.5, 0.0, 0.5, 0.0), taken(*[0.0] * 4, seconds=2)], 4)
    assert (found.rounds, found.disturbed, found.is_busy) == (4, 2, False)
    assert [[turn.seconds for turn in turns] for turns in found.turns] == [[1, 1], [2, 2]]
    assert str(found) == "other work disturbed 2 of 4 rounds"


def test_a_busy_machine_keeps_all_rounds():
    found = settle([taken(0.5, 0.5, 0.5, 0.0)], 4)
    assert found.is_busy
    assert len(found.turns[0]) == 4
    assert settle([taken(0.0), []], 1) == Settled([taken(0.0), []], 1, 0, is_busy=False)


def rounds(machine: FakeMachine, busy: Callable[[float], bool], *, most: int = 12) -> list[list[Turn]]:
    """Time FP32 (2 ms, delayed by 35 ms while `busy`) and INT8 (1.25 ms, never delayed) in turns."""
    fp32 = machine.runner(2e-3, interrupted=lambda now: 35e-3 * busy(now))
    return interleave([fp32, machine.runner(1.25e-3)], rounds=4, most=most, seconds=0.1)


@COUNTED
def test_repeats_disturbed_rounds(counts_waits: bool):
    machine = FakeMachine(counts_waits=counts_waits)
    turns = rounds(machine, lambda now: now < 0.5)
    found = settle(turns, 4)
    assert 4 < found.rounds < 12
    assert found.rounds - found.disturbed == 4
    assert not found.is_busy
    fp32, int8 = map(medians_ms, found.turns)
    assert ratio(fp32, int8).value == pytest.approx(1.6)


@COUNTED
def test_stops_if_each_round_is_disturbed(counts_waits: bool):
    found = settle(rounds(FakeMachine(counts_waits=counts_waits), lambda now: True), 4)
    assert found.is_busy
    assert found.rounds == found.disturbed == 4


def test_takes_a_limited_number_of_rounds():
    found = settle(rounds(FakeMachine(), lambda now: int(now / 0.3) % 4 != 0, most=8), 4)
    assert found.rounds == 8
    assert 0 < found.disturbed < 8


def test_takes_no_more_rounds_by_default():
    machine = FakeMachine()
    turns = interleave([machine.runner(2e-3, interrupted=lambda now: 35e-3)], rounds=3, seconds=0.1)
    assert len(turns[0]) == 3
