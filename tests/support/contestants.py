"""Contestants with fixed times."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.replay import SelfTestResult
from edgecnn.tuning.contest import Contestant
from edgecnn.tuning.measuring.turn import Turn
from edgecnn.tuning.measuring.worker import Memory


def times(ms: float, count: int) -> list[Turn]:
    """Return turns that all take the same time."""
    return [Turn((ms,), 1, ms / 1e3) for _ in range(count)]


class FakeCandidate:
    """A `Candidate` without a process."""

    def __init__(
        self, name: str, bundle: Bundle, ms: float, dies_after: int, answers: bool, delays_ms: Sequence[float]
    ) -> None:
        self.bundle = bundle
        self.setting = Setting("engine")
        self.failure: str | None = None
        self.crashed = False
        self.notes: tuple[str, ...] = ()
        self._name, self._ms, self._left, self._answers = name, ms, dies_after, answers
        self._delays_ms = iter(delays_ms)

    def __str__(self) -> str:
        return self._name

    def __enter__(self) -> "FakeCandidate":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def open(self, *, warm_up_s: float) -> bool:
        return self.failure is None

    def turn(self, seconds: float) -> Turn | None:
        if not self._left:
            self.failure = "it is dead"
            return None
        self._left -= 1
        delay = next(self._delays_ms, 0.0)
        return dataclasses.replace(times(self._ms + delay, 1)[0], held_up_s=delay / 1e3)

    def replay(self) -> SelfTestResult:
        failures = () if self._answers else ("another answer",)
        return SelfTestResult(images=32, decided=32, max_error=0.0, tolerance=1.0, encoded=4, failures=failures)

    def memory(self) -> Memory:
        return Memory(1)

    def close(self) -> None:
        """Release nothing."""


def contestant(
    name: str,
    bundle: Bundle,
    ms: float,
    *,
    dies_after: int = 1000,
    answers: bool = True,
    delays_ms: Sequence[float] = (),
) -> Contestant:
    """Return a contestant for latency whose runs take `ms` milliseconds; other work delays its first turns."""
    candidate: Any = FakeCandidate(name, bundle, ms, dies_after, answers, delays_ms)
    return Contestant(candidate, "latency")
