"""Successive halving: compares the fastest candidates with increasing precision.

First, each candidate runs briefly on its own. The fastest ones then take turns, and after each stage the slower half is
dropped (Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016). The best
candidate of the most accurate precision and the PyTorch reference stay until the end, so that the ratios in the
conclusion come from the same rounds. Turns and rounds that other work disturbs are measured again, a limited number of
times.
"""

import contextlib
import math
from collections.abc import Callable, Sequence

from edgecnn.errors import EngineError
from edgecnn.host.resources import memory_limit
from edgecnn.progress import Progress
from edgecnn.tuning.contest import Contestant, most_accurate
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.turn import Turn, interleave, is_disturbed, settle

FIRST_WARM_UP_S = 1.0
_FIRST_TURN_S = 0.15
_TURN_S = 0.2
_FINALISTS = 6
_ROUNDS = (3, 3, 6)
"""Undisturbed rounds of each comparing stage. A finalist has taken 12 turns at the end."""
_TRIES = 3
"""A stage takes at most this many times its rounds, and a first turn is repeated at most this many times."""
_MEMORY_SHARE = 0.5


class Halving:
    """One search. Args: `clock` returns monotonic seconds, `progress` is called after each step.

    Attributes:
        rounds: the rounds that count after the last comparing stage.
    """

    def __init__(self, field: Sequence[Contestant], clock: Callable[[], float], progress: Progress) -> None:
        self._field = field
        self._clock = clock
        self._progress = progress
        self.rounds = settle([], 0)

    def try_each(self, until: float) -> None:
        """Run each candidate briefly on its own. After `until`, only untested bundles run.

        A bundle is not tried again on an engine that crashed or hung on it: each attempt may take minutes.
        """
        seen: set[str] = set()
        crashed: set[tuple[str, str]] = set()
        for number, contestant in enumerate(self._field):
            self._progress("trying", number, len(self._field), str(contestant.candidate))
            digest, engine = contestant.candidate.bundle.digest, contestant.candidate.setting.engine
            if contestant.out is None and (digest, engine) in crashed:
                contestant.out = f"not tried: {engine} crashed on this bundle before"
            if contestant.out is None and digest in seen and self._clock() > until:
                contestant.out = "not tried: the time limit was reached"
            if contestant.out is not None:
                continue
            with contestant.candidate as candidate:
                contestant.note(_first_turn(candidate) if candidate.open(warm_up_s=FIRST_WARM_UP_S) else None)
            if contestant.ran:
                seen.add(digest)
            elif contestant.candidate.crashed:
                crashed.add((digest, engine))
        self._progress("trying", len(self._field), len(self._field))

    def compare(self, baseline: Contestant | None, until: float, stack: contextlib.ExitStack) -> list[Contestant]:
        """Run the best candidates in turns, drop half of them after each stage, and return the finalists, best first.

        The first stage always runs. Another one runs only if it ends before `until`, as do rounds that replace
        disturbed ones. The baseline runs in every stage. `stack` closes the opened candidates.

        Raises:
            EngineError: no candidate is left.
        """
        running = self._open(stack)
        for stage, rounds in enumerate(_ROUNDS):
            beside = [baseline] if baseline is not None and baseline.out is None else []
            everyone = [*running, *beside]
            possible = self._rounds_until(until, everyone)
            if stage and possible < rounds:
                break
            self._take_turns(everyone, rounds, most=max(rounds, min(_TRIES * rounds, possible)), seed=stage)
            self._settle([each for each in everyone if each.out is None], sum(_ROUNDS[: stage + 1]))
            running = _better_half(ranked(running))
        if not running:
            reasons = dict.fromkeys(str(contestant.out) for contestant in self._field)
            raise EngineError(f"no setting runs here with the required accuracy: {'; '.join(reasons)}")
        return running

    def _rounds_until(self, until: float, contestants: Sequence[Contestant]) -> int:
        """Return the number of rounds that end before a time."""
        seconds = sum(map(Contestant.seconds_of_turn, contestants))
        return int((until - self._clock()) / seconds) if seconds else 0

    def _settle(self, contestants: Sequence[Contestant], rounds: int) -> None:
        """Choose the rounds that count; `rounds` were wanted."""
        self.rounds = settle([contestant.taken for contestant in contestants], rounds)
        for contestant, turns in zip(contestants, self.rounds.turns, strict=True):
            contestant.count(turns)

    def _take_turns(self, contestants: Sequence[Contestant], rounds: int, *, most: int, seed: int) -> None:
        candidates = [contestant.candidate for contestant in contestants]
        turns = interleave(
            candidates,
            rounds=rounds,
            most=most,
            seconds=_TURN_S,
            seed=seed,
            stage=f"comparing {seed + 1}",
            progress=self._progress,
        )
        for contestant, took in zip(contestants, turns, strict=True):
            contestant.note(*took)

    def _open(self, stack: contextlib.ExitStack) -> list[Contestant]:
        """Open the best candidates, and the best in FP32 if there is one, if self-tests pass and memory suffices."""
        order = ranked(self._field)
        wanted = order[:_FINALISTS]
        accurate = most_accurate(order) if order else None
        if accurate is not None and accurate not in wanted:
            wanted.append(accurate)
        room = _MEMORY_SHARE * (memory_limit() or math.inf)
        running: list[Contestant] = []
        for number, contestant in enumerate(wanted):
            self._progress("opening", number, len(wanted), str(contestant.candidate))
            if len(running) >= 2 and room <= 0 and contestant is not accurate:
                contestant.out = "not compared: not enough memory"
                continue
            candidate = stack.enter_context(contestant.candidate)
            if candidate.open(warm_up_s=FIRST_WARM_UP_S) and contestant.prove():
                room -= candidate.memory().resident_bytes
                contestant.restart()
                running.append(contestant)
            else:
                contestant.note()
                candidate.close()
        self._progress("opening", len(wanted), len(wanted))
        for contestant in order:
            if contestant.out is None and contestant not in running:
                contestant.out = "slower"
        return running


def _first_turn(candidate: Candidate) -> Turn | None:
    """Return one turn of a candidate, undisturbed if possible; None if it failed."""
    for _ in range(_TRIES):
        turn = candidate.turn(_FIRST_TURN_S)
        if turn is None or not is_disturbed(turn, [turn]):
            break
    return turn


def ranked(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Return the candidates that are not rejected, best first."""
    return sorted((contestant for contestant in contestants if contestant.out is None), key=Contestant.cost)


def _better_half(order: list[Contestant]) -> list[Contestant]:
    """Reject the slower half, except for the first two and the best of the most accurate precision. Return the rest."""
    for contestant in order[max(2, len(order) // 2) :]:
        if contestant is not most_accurate(order):
            contestant.out = "slower"
            contestant.candidate.close()
    return [contestant for contestant in order if contestant.out is None]
