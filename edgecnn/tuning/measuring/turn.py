"""One turn of a candidate: its session runs for a short time while all other candidates wait."""

import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgecnn.progress import Progress, silent
from edgecnn.runtime.cascade import StageCounts, counts_of
from edgecnn.runtime.engines.engine import Session, device_kind
from edgecnn.runtime.streaming import stream
from edgecnn.tuning.measuring.contention import ProcessorTimes, held_up_s, processor_times

_UNTIMED = 0.2
"""Untimed share of a turn, for warming up after another candidate's turn."""

_LEAST_RUNS = 3

_MOST_HELD_UP = 0.1
"""Share of a turn."""

_MOST_SPREAD = 1.25
"""Time of a turn, as a multiple of the candidate's fastest turn."""

Clock = Callable[[], float]
Counters = Callable[[], ProcessorTimes]


@dataclass(frozen=True)
class Turn:
    """The measurements of one turn.

    Attributes:
        times_ms: time of each run of a batch; with several instances including the wait in the engine's queue.
        images: number of answered images.
        seconds: duration.
        cpu_s: processor time of the process; None for a device that is not the CPU.
        held_up_s: how long other work held up the process, at most; None if the system does not count it.
        again: number of images that the accurate graph of a cascade ran too; None without a cascade.
    """

    times_ms: tuple[float, ...]
    images: int
    seconds: float
    cpu_s: float | None = None
    held_up_s: float | None = None
    again: int | None = None


class Runner(Protocol):
    """A candidate that can take a turn: a session in this process, or a separate process."""

    def turn(self, seconds: float) -> Turn | None:
        """Run for about the given time. Return None if the candidate failed."""
        ...


class InProcess:
    """A session of this process as a `Runner`."""

    def __init__(
        self,
        session: Session,
        images: np.ndarray,
        *,
        batch: int | None = None,
        clock: Clock = time.perf_counter,
        counters: Counters = processor_times,
    ) -> None:
        """Prepare the batches, which run in turns.

        Args:
            session: the session to time.
            images: uint8 [N, H, W, C].
            batch: number of images of a batch; None for one batch of all images.
            clock: returns seconds.
            counters: returns the times of the processor.
        """
        self._session = session
        self._batch = len(images) if batch is None else batch
        self._next = itertools.cycle([images] if batch is None else _batches(images, batch)).__next__
        self._clock = clock
        self._counters = counters

    def run(self) -> None:
        """Run the next batch."""
        self._session.run(self._next())

    def turn(self, seconds: float) -> Turn:
        """See `Runner`."""
        clock = self._clock
        end = clock() + _UNTIMED * seconds
        self.run()
        while clock() < end:
            self.run()
        return self._one_by_one(seconds) if self._session.instances == 1 else self._streamed(seconds)

    def _one_by_one(self, seconds: float) -> Turn:
        clock, session, counted = self._clock, self._session, counts_of(self._session)
        times: list[float] = []
        before, begin = self._counters(), clock()
        while len(times) < _LEAST_RUNS or clock() - begin < seconds:
            images = self._next()
            start = clock()
            session.run(images)
            times.append(clock() - start)
        elapsed = clock() - begin
        return self._turn(times, elapsed, before, self._counters(), counted)

    def _streamed(self, seconds: float) -> Turn:
        clock, counted = self._clock, counts_of(self._session)
        least = _LEAST_RUNS * self._session.instances
        started: deque[float] = deque()
        begun, is_fed = 0, False

        def batches() -> Iterator[np.ndarray]:
            nonlocal begun, is_fed
            while begun < least or clock() - begin < seconds:
                begun += 1
                started.append(clock())
                yield self._next()
            is_fed = True

        times: list[float] = []
        before = after = self._counters()
        begin = clock()
        for _ in stream(self._session, batches()):
            times.append(clock() - started.popleft())
            if is_fed and not started:
                after = self._counters()  # now, because the threads of `stream` end with the loop
        return self._turn(times, clock() - begin, before, after, counted)

    def _turn(
        self,
        times: Sequence[float],
        elapsed: float,
        before: ProcessorTimes,
        after: ProcessorTimes,
        counted: StageCounts | None,
    ) -> Turn:
        counts = counts_of(self._session)
        return Turn(
            times_ms=tuple(time * 1e3 for time in times),
            images=len(times) * self._batch,
            seconds=elapsed,
            cpu_s=after.own_s - before.own_s if device_kind(self._session.info.device) == "cpu" else None,
            held_up_s=held_up_s(before, after),
            again=None if counts is None or counted is None else counts.since(counted).again,
        )


def _batches(images: np.ndarray, batch: int) -> list[np.ndarray]:
    """Split images, uint8 [N, H, W, C], into batches. The last one continues with the first images."""
    starts = range(0, len(images), batch)
    whole = [images[start : start + batch] for start in starts if start + batch <= len(images)]
    if len(whole) < len(starts):
        whole.append(images.take(range(starts[-1], starts[-1] + batch), axis=0, mode="wrap"))
    return whole


def interleave(
    runners: Sequence[Runner],
    *,
    rounds: int,
    most: int | None = None,
    seconds: float,
    seed: int = 0,
    stage: str = "measuring",
    progress: Progress = silent,
) -> list[list[Turn]]:
    """Give every runner a turn in each round, in random order: drifts of the machine affect all equally.

    A runner that fails takes no part in later rounds.

    Args:
        runners: the candidates.
        rounds: number of undisturbed rounds. See `settle`.
        most: number of all rounds, at most; `rounds` by default. No more follow if each of the first `rounds` is
            disturbed.
        seconds: approximate duration of one turn.
        seed: determines the order.
        stage: the name that `progress` shows.
        progress: called after each turn.
    """
    order = list(range(len(runners)))
    shuffle = random.Random(seed).shuffle  # noqa: S311  # not for security: the order must be reproducible
    turns: list[list[Turn]] = [[] for _ in runners]
    done = 0
    for number in range(1, (most or rounds) + 1):
        shuffle(order)
        for index in tuple(order):
            turn = runners[index].turn(seconds)
            if turn is None:
                order.remove(index)
            else:
                turns[index].append(turn)
            done += 1
            progress(stage, done, max(rounds, number) * len(runners))
        if most is not None and number >= rounds and len(undisturbed(turns)) in (0, rounds):
            break
    return turns


@dataclass(frozen=True)
class Settled:
    """The rounds that count.

    Attributes:
        turns: the turns of each candidate in the undisturbed rounds; in all rounds if the machine is busy.
        rounds: number of all rounds.
        disturbed: number of disturbed rounds.
        is_busy: whether less than half of the wanted rounds are undisturbed.
    """

    turns: list[list[Turn]]
    rounds: int
    disturbed: int
    is_busy: bool

    def pairs(self, names: Iterable[str]) -> dict[str, tuple[list[Turn], list[Turn]]]:
        """Return the turns of two neighbouring candidates for each name, without the pairs of which one failed."""
        complete = max(map(len, self.turns))
        return {
            name: (first, second)
            for name, first, second in zip(names, self.turns[::2], self.turns[1::2], strict=True)
            if len(first) == len(second) == complete > 0
        }

    def __str__(self) -> str:
        return f"other work disturbed {self.disturbed} of {self.rounds} rounds"


def settle(turns: Sequence[Sequence[Turn]], rounds: int) -> Settled:
    """Choose the rounds that count, from the turns of all candidates in the same rounds; `rounds` were wanted."""
    good, count = undisturbed(turns), max(map(len, turns), default=0)
    is_busy = 2 * len(good) < rounds
    chosen = range(count) if is_busy else good
    counting = [[taken[number] for number in chosen if number < len(taken)] for taken in turns]
    return Settled(counting, count, count - len(good), is_busy)


def undisturbed(turns: Sequence[Sequence[Turn]]) -> list[int]:
    """Return the numbers of the rounds in which other work disturbed no candidate.

    Other work disturbed a turn if it held up the process for more than 10 % of the turn. If the system does not count
    that, a turn is disturbed if its processor time is less than 90 % of its duration, because at least one thread of an
    undisturbed run computes at any time, or if its time per image is more than 25 % above that of the candidate's
    fastest turn.
    """
    count = max(map(len, turns), default=0)
    running = [taken for taken in turns if len(taken) == count]
    disturbed = {number for taken in running for number, turn in enumerate(taken) if is_disturbed(turn, taken)}
    return [number for number in range(count) if number not in disturbed]


def is_disturbed(turn: Turn, taken: Sequence[Turn]) -> bool:
    """Return whether other work disturbed one of a candidate's turns; see `undisturbed`."""
    if turn.held_up_s is not None:
        return turn.held_up_s > _MOST_HELD_UP * turn.seconds
    if turn.cpu_s is not None and turn.cpu_s < (1 - _MOST_HELD_UP) * turn.seconds:
        return True
    return turn.seconds / turn.images > _MOST_SPREAD * min(each.seconds / each.images for each in taken)
