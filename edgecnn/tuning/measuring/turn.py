"""One turn of a candidate: its session runs for a short time while all other candidates wait."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.streaming import stream

_UNTIMED = 0.2
"""Untimed share of a turn, for warming up after another candidate's turn."""

_LEAST_RUNS = 3

Clock = Callable[[], float]


@dataclass(frozen=True)
class Turn:
    """The measurements of one turn.

    Attributes:
        times_ms: time of each run of a batch; with several instances including the wait in the engine's queue.
        images: number of answered images.
        seconds: duration.
    """

    times_ms: tuple[float, ...]
    images: int
    seconds: float


class Runner(Protocol):
    """A candidate that can take a turn: a session in this process, or a separate process."""

    def turn(self, seconds: float) -> Turn | None:
        """Run for about the given time. Return None if the candidate failed."""
        ...


class InProcess:
    """A session of this process as a `Runner`."""

    def __init__(self, session: Session, images: np.ndarray, *, clock: Clock = time.perf_counter) -> None:
        """Args: `images` is one batch, uint8 [N, H, W, C]."""
        self._session = session
        self._images = images
        self._clock = clock

    def run(self) -> None:
        """Run the batch once."""
        self._session.run(self._images)

    def turn(self, seconds: float) -> Turn:
        """See `Runner`."""
        clock = self._clock
        end = clock() + _UNTIMED * seconds
        self.run()
        while clock() < end:
            self.run()
        times, elapsed = self._one_by_one(seconds) if self._session.instances == 1 else self._streamed(seconds)
        return Turn(tuple(time * 1e3 for time in times), len(times) * len(self._images), elapsed)

    def _one_by_one(self, seconds: float) -> tuple[list[float], float]:
        clock, session, images = self._clock, self._session, self._images
        times: list[float] = []
        begin = clock()
        while len(times) < _LEAST_RUNS or clock() - begin < seconds:
            start = clock()
            session.run(images)
            times.append(clock() - start)
        return times, clock() - begin

    def _streamed(self, seconds: float) -> tuple[list[float], float]:
        clock = self._clock
        least = _LEAST_RUNS * self._session.instances
        started: deque[float] = deque()
        begun = 0

        def batches() -> Iterator[np.ndarray]:
            nonlocal begun
            while begun < least or clock() - begin < seconds:
                begun += 1
                started.append(clock())
                yield self._images

        times: list[float] = []
        begin = clock()
        for _ in stream(self._session, batches()):
            times.append(clock() - started.popleft())
        return times, clock() - begin


def interleave(
    runners: Sequence[Runner],
    *,
    rounds: int,
    seconds: float,
    seed: int = 0,
    stage: str = "measuring",
    progress: Progress = silent,
) -> list[list[Turn]]:
    """Give every runner `rounds` turns, one per round in random order: drifts of the machine affect all equally.

    A runner that fails takes no part in later rounds. `stage` is the name that `progress` shows.
    """
    order = list(range(len(runners)))
    shuffle = random.Random(seed).shuffle  # noqa: S311  # not for security: the order must be reproducible
    turns: list[list[Turn]] = [[] for _ in runners]
    done, total = 0, rounds * len(order)
    for _ in range(rounds):
        shuffle(order)
        for number in tuple(order):
            turn = runners[number].turn(seconds)
            if turn is None:
                order.remove(number)
            else:
                turns[number].append(turn)
            done += 1
            progress(stage, done, total)
    return turns
