"""Turns: what is timed, and in which order."""

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.backend import SessionInfo, SessionOptions
from edgecnn.runtime.engines.backends import installed
from edgecnn.runtime.opening import open_session
from edgecnn.tuning.measuring.turn import InProcess, Turn, interleave


class Fake:
    """A session whose run takes ten milliseconds of its own clock, and sometimes longer."""

    info = SessionInfo("fake", "1", "cpu", "fp32", 1)
    concurrency = 1

    def __init__(self, *jumps: float) -> None:
        self.now = 0.0
        self._jumps = list(jumps)

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        self.now += 0.01 + (self._jumps.pop() if self._jumps else 0)
        return np.zeros((len(images), 10), np.float32)

    def close(self) -> None:
        """Nothing to free."""


IMAGES = np.zeros((4, 32, 32, 1), np.uint8)


def test_a_turn_takes_about_as_long_as_was_asked_for():
    session = Fake()
    turn = InProcess(session, IMAGES, clock=lambda: session.now).turn(0.5)
    assert turn.seconds == pytest.approx(0.5, abs=0.02)
    assert turn.images == 4 * len(turn.times_ms)
    assert turn.times_ms == pytest.approx([10.0] * len(turn.times_ms))


def test_slow_runs_are_timed_three_times_at_least():
    session = Fake()
    assert len(InProcess(session, IMAGES, clock=lambda: session.now).turn(0.001).times_ms) == 3


def test_a_clock_that_jumps_spoils_one_run_and_no_median():
    session = Fake(0, 3600.0, *[0.0] * 20)  # the machine slept for an hour in the middle
    turns = [InProcess(session, IMAGES, clock=lambda: session.now).turn(0.1) for _ in range(5)]
    assert max(max(turn.times_ms) for turn in turns) > 3.6e6
    assert np.median([np.median(turn.times_ms) for turn in turns]) == pytest.approx(10.0)


@pytest.mark.parametrize("engine", installed())
@pytest.mark.parametrize("streams", [1, 2])
def test_every_batch_of_a_real_session_is_timed(engine: str, streams: int, committed: Bundle):
    session = open_session(committed, backend=engine, options=SessionOptions(threads=1, concurrency=streams))
    turn = InProcess(session, committed.self_test().images[:2]).turn(0.05)
    assert turn.images == 2 * len(turn.times_ms)
    assert min(turn.times_ms) > 0
    assert turn.seconds >= 0.05


class Recorder:
    """A runner that writes down when it was asked, and stops after some turns."""

    def __init__(self, name: str, calls: list[str], turns: int = 100) -> None:
        self._name, self._calls, self._left = name, calls, turns

    def turn(self, seconds: float) -> Turn | None:
        if not self._left:
            return None
        self._left -= 1
        self._calls.append(self._name)
        return Turn((1.0,), 1, seconds)


def test_each_round_everyone_has_one_turn_in_another_order():
    calls: list[str] = []
    turns = interleave([Recorder(name, calls) for name in "abcd"], rounds=10, seconds=0.1)
    rounds = [calls[i : i + 4] for i in range(0, 40, 4)]
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert len({tuple(each) for each in rounds}) > 3
    assert [len(each) for each in turns] == [10] * 4


def test_one_that_cannot_go_on_is_left_out_and_the_others_go_on():
    calls: list[str] = []
    turns = interleave([Recorder("a", calls), Recorder("b", calls, turns=2)], rounds=5, seconds=0.1)
    assert [len(each) for each in turns] == [5, 2]


def test_progress_never_passes_its_end():
    told: list[tuple[int, int]] = []
    interleave(
        [Recorder("a", []), Recorder("b", [], turns=1)],
        rounds=3,
        seconds=0.1,
        progress=lambda stage, done, total, note="", /: told.append((done, total)),
    )
    assert all(done <= total for done, total in told)
    assert len(told) == 5  # three turns, one, and the one that failed
