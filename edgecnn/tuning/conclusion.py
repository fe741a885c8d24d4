"""Chooses the winner, and explains the choice in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.runtime.profile import Profile, write_profile
from edgecnn.runtime.rates import Estimate, percent, three_digits
from edgecnn.tuning.contest import Contestant, Trial, most_accurate
from edgecnn.tuning.measuring.estimates import as_fast, ratio, why_uncertain
from edgecnn.tuning.measuring.turn import Settled

_BUSY = "this machine is busy, and the choice may be wrong: run `edgecnn tune` again when it is idle"


@dataclass(frozen=True)
class Tuned:
    """The profile that tuning found, and the result of every candidate.

    `is_busy` says that other work on this machine prevented a comparison of speeds. The choice may be wrong then.
    """

    profile: Profile
    trials: tuple[Trial, ...]
    is_busy: bool

    def __repr__(self) -> str:
        return f"<Tuned: {self.profile.conclusion}>"

    def _repr_html_(self) -> str:
        """Return the candidates and the conclusion as a table, for notebooks."""
        from edgecnn.html_table import table

        header, *rows = self.rows()
        return table(self.profile.conclusion, rows, header=header, right=(2, 3, 4))

    @property
    def ordered(self) -> tuple[Trial, ...]:
        """The candidates, the fastest first; those that did not run come last."""
        return tuple(sorted(self.trials, key=_cost))

    def rows(self) -> list[tuple[str, ...]]:
        """Return the columns' names, and the texts of a row for each candidate, the fastest first."""
        header: tuple[str, ...] = ("bundle", "setting", "p50 ms", "images/s", "runs", "result")
        if self._has_cascade:
            header = ("bundle", "setting", "p50 or mean ms", "images/s", "runs", "run again", "result")
        return [header, *map(self._row, self.ordered)]

    @property
    def _has_cascade(self) -> bool:
        return any(trial.speed is not None and trial.speed.run_again is not None for trial in self.trials)

    def _row(self, trial: Trial) -> tuple[str, ...]:
        choice, speed = self.profile.choice, trial.speed
        is_choice = (trial.digest, trial.setting) == (choice.bundle, choice.setting)
        end = "chosen" if is_choice else (trial.out or "slower").partition(":")[0].partition(" of ")[0]
        again = ("" if speed is None or speed.run_again is None else percent(speed.run_again),) * self._has_cascade
        if speed is None:
            return trial.bundle, str(trial.setting), "", "", "", *again, end
        figures = str(speed.cost_ms), three_digits(speed.images_per_s.value), f"{speed.runs:,}"
        return trial.bundle, str(trial.setting), *figures, *again, end

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the sessions, each once, and one if the machine is busy."""
        notes = dict.fromkeys(note for trial in self.trials for note in trial.notes)
        return (*notes, _BUSY) if self.is_busy else tuple(notes)

    def keep(self) -> Path:
        """Write the profile, which new sessions on this machine then use. Return its path.

        Raises:
            EdgecnnError: the file cannot be written.
        """
        return write_profile(self.profile)


def _cost(trial: Trial) -> tuple[bool, float]:
    return trial.speed is None, trial.speed.cost_ms.value / trial.setting.batch if trial.speed else 0.0


@dataclass(frozen=True)
class Decision:
    """The winner, and its comparisons.

    Attributes:
        winner: the chosen candidate.
        accurate: the fastest finalist of the most accurate precision: FP32, if there is one.
        other: the fastest finalist of the other precisions; None if there is none.
        ratio: `other` is this many times as fast as `accurate`; None without it.
        over_pytorch: the winner is this many times as fast as the PyTorch reference; None without it.
        doubt: why the ratios are not reported: the machine is busy; None if they are certain.
    """

    winner: Contestant
    accurate: Contestant
    other: Contestant | None
    ratio: Estimate | None
    over_pytorch: Estimate | None
    doubt: str | None


def decide(finalists: Sequence[Contestant], baseline: Contestant | None, rounds: Settled) -> Decision:
    """Choose the winner among the finalists, best first; `baseline` is the PyTorch reference.

    The fastest of the most accurate precision wins, unless the interval of another one's ratio to it is above 1.
    `rounds` are those in which the finalists took their turns.
    """
    winner = accurate = most_accurate(finalists)
    other = next((each for each in finalists if each.precision != accurate.precision), None)
    over_accurate = over_pytorch = None
    if other is not None:
        over_accurate = ratio(accurate.costs(), other.costs())
        winner = other if over_accurate.low > 1 else accurate
    if baseline is not None and baseline.out is None and baseline.turns:
        over_pytorch = ratio(baseline.costs(), winner.costs())
    doubt = why_uncertain(rounds, (over_accurate, over_pytorch))
    return Decision(winner, accurate, other, over_accurate, over_pytorch, doubt)


def say(decision: Decision, field: Sequence[Contestant]) -> str:
    """Return a sentence with the best setting, its speed and its drop. `field` are all candidates."""
    winner = decision.winner
    name = _named(winner)
    facts = _speeds(decision) if decision.doubt is None else [decision.doubt]
    if winner.precision != "fp32":
        facts.append(f"{0.0 - winner.drop:+.2f} points")
    if winner.precision != "int8":
        int8 = [each for each in field if each.precision == "int8"]
        reasons = dict.fromkeys(each.out for each in int8 if each.out not in (None, "slower"))
        if reasons and (decision.other is None or decision.other.precision != "int8"):
            facts.append(f"INT8 was rejected: {'; '.join(map(str, reasons))}")
        if winner is decision.accurate and any(each.precision != winner.precision for each in field):
            name = f"keep {name}"
    return f"{name}: {'; '.join(facts)}"


def _speeds(decision: Decision) -> list[str]:
    """Return the ratios to the other precision and PyTorch, or the winner's own figure if there are none."""
    winner, accurate, other = decision.winner, decision.accurate, decision.other
    facts = []
    if decision.ratio is not None and winner is other:
        facts.append(f"{as_fast(decision.ratio)} as {_named(accurate)}")
    if decision.over_pytorch is not None:
        facts.append(f"{as_fast(decision.over_pytorch)} as PyTorch")
    if decision.ratio is not None and other is not None and winner is accurate:
        facts.append(f"{_named(other)} is {as_fast(decision.ratio)}")
    if facts:
        return facts
    figure = winner.chosen().figure
    unit = "ms an image" if winner.purpose == "latency" else "images a second"
    return [f"{three_digits(figure.value)} [{three_digits(figure.low)}, {three_digits(figure.high)}] {unit}"]


def _named(contestant: Contestant) -> str:
    return f"{contestant.precision.upper()} on {contestant.candidate.setting}"
