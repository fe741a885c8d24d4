"""Turns: timing and order."""

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.engine import SessionInfo, SessionOptions
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.tuning.measuring.turn import InProcess, Turn, interleave


class Fake:
    """A session whose runs take ten milliseconds of a fake clock, plus optional jumps."""

    info = SessionInfo("fake", "1", "cpu", "fp32", 1)
    instances = 1

    def __init__(self, *jumps: float) -> None:
        self.now = 0.0
        self._jumps = list(jumps)

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        self.now += 0.01 + (self._jumps.pop() if self._jumps else 0)
        return np.zeros((len(images), 10), np.float32)

    def close(self) -> None:
        """Required by the protocol."""


IMAGES = np.zeros((4, 32, 32, 1), np.uint8)


def test_a_turn_takes_the_requested_time():
    session = Fake()
    turn = InProcess(session, IMAGES, clock=lambda: session.now).turn(0.5)
    assert turn.seconds == pytest.approx(0.5, abs=0.02)
    assert turn.images == 4 * len(turn.times_ms)
    assert turn.times_ms == pytest.approx([10.0] * len(turn.times_ms))


def test_times_at_least_three_slow_runs():
    session = Fake()
    assert len(InProcess(session, IMAGES, clock=lambda: session.now).turn(0.001).times_ms) == 3


def test_a_clock_jump_affects_only_one_run():
    session = Fake(0, 3600.0, *[0.0] * 20)  # the machine slept for an hour in the middle
    turns = [InProcess(session, IMAGES, clock=lambda: session.now).turn(0.1) for _ in range(5)]
    assert max(max(turn.times_ms) for turn in turns) > 3.6e6
    assert np.median([np.median(turn.times_ms) for turn in turns]) == pytest.approx(10.0)


@pytest.mark.parametrize("engine", installed())
@pytest.mark.parametrize("instances", [1, 2])
def test_times_every_batch_of_a_real_session(engine: str, instances: int, committed: Bundle):
    session = open_session(committed, engine=engine, options=SessionOptions(threads=1, instances=instances))
    turn = InProcess(session, committed.self_test().images[:2]).turn(0.05)
    assert turn.images == 2 * len(turn.times_ms)
    assert min(turn.times_ms) > 0
    assert turn.seconds >= 0.05


class Recorder:
    """A runner that records its calls, and fails after some turns."""

    def __init__(self, name: str, calls: list[str], turns: int = 100) -> None:
        self._name, self._calls, self._left = name, calls, turns

    def turn(self, seconds: float) -> Turn | None:
        if not self._left:
            return None
        self._left -= 1
        self._calls.append(self._name)
        return Turn((1.0,), 1, seconds)


def test_every_round_has_a_random_order():
    calls: list[str] = []
    turns = interleave([Recorder(name, calls) for name in "abcd"], rounds=10, seconds=0.1)
    rounds = [calls[i : i + 4] for i in range(0, 40, 4)]
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert len({tuple(each) for each in rounds}) > 3
    assert [len(each) for each in turns] == [10] * 4


def test_continues_without_a_failed_runner():
    calls: list[str] = []
    turns = interleave([Recorder("a", calls), Recorder("b", calls, turns=2)], rounds=5, seconds=0.1)
    assert [len(each) for each in turns] == [5, 2]


def test_progress_does_not_exceed_its_total():
    calls: list[tuple[int, int]] = []
    interleave(
        [Recorder("a", []), Recorder("b", [], turns=1)],
        rounds=3,
        seconds=0.1,
        progress=lambda stage, done, total, note="", /: calls.append((done, total)),
    )
    assert all(done <= total for done, total in calls)
    assert len(calls) == 5  # three turns of a, one of b, and the failed one
