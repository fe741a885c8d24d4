"""A machine with a fake clock, on which other work interrupts some sessions; and real processes that do other work."""

import contextlib
import math
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.tuning.measuring.contention import ProcessorTimes
from edgecnn.tuning.measuring.turn import InProcess

IMAGES = np.zeros((1, 8, 8, 1), np.uint8)


class FakeMachine:
    """A clock and processor times. `counts_waits` is false for systems other than Linux."""

    def __init__(self, *, counts_waits: bool = True) -> None:
        self.now = self.own = self.waited = self.others = 0.0
        self._counts_waits = counts_waits

    def clock(self) -> float:
        return self.now

    def counters(self) -> ProcessorTimes:
        if not self._counts_waits:
            return ProcessorTimes(self.own)
        return ProcessorTimes(self.own, {"1": self.waited}, used_s=self.own + self.others)

    def runner(self, seconds: float, *, interrupted: Callable[[float], float] = lambda now: 0.0) -> InProcess:
        """Return a candidate whose runs take `seconds`; `interrupted` returns the delay of a run, from the time."""
        return InProcess(FakeSession(self, seconds, interrupted), IMAGES, clock=self.clock, counters=self.counters)


class FakeSession:
    """A session of a `FakeMachine`."""

    info = SessionInfo("fake", "1", "cpu", "fp32", 1)
    instances = 1

    def __init__(self, machine: FakeMachine, seconds: float, interrupted: Callable[[float], float]) -> None:
        self._machine, self._seconds, self._interrupted = machine, seconds, interrupted

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        machine, delay = self._machine, self._interrupted(self._machine.now)
        machine.own += self._seconds
        machine.waited += delay
        machine.others += delay
        machine.now += self._seconds + delay
        return np.zeros((len(images), 10), np.float32)

    def close(self) -> None:
        """Required by the protocol."""


@contextlib.contextmanager
def as_if_idle() -> Iterator[None]:
    """Ignore other work on this machine, and wide intervals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecnn.tuning.measuring.turn._MOST_HELD_UP", math.inf)
        patch.setattr("edgecnn.tuning.measuring.turn._MOST_SPREAD", math.inf)
        patch.setattr("edgecnn.tuning.measuring.estimates._MOST_WIDTH", math.inf)
        yield


@contextlib.contextmanager
def busy_loops() -> Iterator[None]:
    """Run two processes a core that compute without a pause."""
    code = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
    loops = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2 * usable_cores())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()
