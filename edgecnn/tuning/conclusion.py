"""Chooses the winner, and explains the choice in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.runtime.profile import Profile, write_profile
from edgecnn.runtime.rates import Estimate, three_digits
from edgecnn.tuning.contest import Contestant, Trial
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


@dataclass(frozen=True)
class Decision:
    """The winner, and its comparisons.

    Attributes:
        winner: the chosen candidate.
        fp32: the fastest FP32 finalist; None if there is none.
        int8: the fastest INT8 finalist; None if there is none.
        over_fp32: INT8 is this many times as fast as FP32; None without both.
        over_pytorch: the winner is this many times as fast as the PyTorch reference; None without it.
        doubt: why the ratios are not reported: the machine is busy; None if they are certain.
    """

    winner: Contestant
    fp32: Contestant | None
    int8: Contestant | None
    over_fp32: Estimate | None
    over_pytorch: Estimate | None
    doubt: str | None


def decide(finalists: Sequence[Contestant], baseline: Contestant | None, rounds: Settled) -> Decision:
    """Choose the winner among the finalists, best first; `baseline` is the PyTorch reference.

    The fastest wins. INT8 wins only if the interval of its ratio is above 1, because FP32 is more accurate. `rounds`
    are those in which the finalists took their turns.
    """
    winner = finalists[0]
    fp32 = next((each for each in finalists if not _is_int8(each)), None)
    int8 = next((each for each in finalists if _is_int8(each)), None)
    over_fp32 = over_pytorch = None
    if fp32 is not None and int8 is not None:
        over_fp32 = ratio(fp32.costs(), int8.costs())
        winner = int8 if over_fp32.low > 1 else fp32
    if baseline is not None and baseline.out is None and baseline.turns:
        over_pytorch = ratio(baseline.costs(), winner.costs())
    doubt = why_uncertain(rounds, (over_fp32, over_pytorch))
    return Decision(winner, fp32, int8, over_fp32, over_pytorch, doubt)


def say(decision: Decision, field: Sequence[Contestant]) -> str:
    """Return a sentence with the best setting, its speed and its drop. `field` are all candidates."""
    winner = decision.winner
    name = f"{winner.candidate.bundle.manifest.precision.upper()} on {winner.candidate.setting}"
    facts = _speeds(decision) if decision.doubt is None else [decision.doubt]
    if _is_int8(winner):
        facts.append(f"{0.0 - winner.drop:+.2f} points")
    else:
        reasons = dict.fromkeys(each.out for each in field if _is_int8(each) and each.out not in (None, "slower"))
        if reasons and decision.int8 is None:
            facts.append(f"INT8 was rejected: {'; '.join(map(str, reasons))}")
        name = f"keep {name}" if any(map(_is_int8, field)) else name
    return f"{name}: {'; '.join(facts)}"


def _speeds(decision: Decision) -> list[str]:
    """Return the ratios to FP32, INT8 and PyTorch, or the winner's own figure if there are none."""
    winner, fp32, int8, over_fp32 = decision.winner, decision.fp32, decision.int8, decision.over_fp32
    facts = []
    if over_fp32 is not None and winner is int8 and fp32 is not None:
        facts.append(f"{as_fast(over_fp32)} as FP32 on {fp32.candidate.setting}")
    if decision.over_pytorch is not None:
        facts.append(f"{as_fast(decision.over_pytorch)} as PyTorch")
    if over_fp32 is not None and winner is fp32 and int8 is not None:
        facts.append(f"INT8 on {int8.candidate.setting} is {as_fast(over_fp32)}")
    if facts:
        return facts
    figure = winner.chosen().figure
    unit = "ms an image" if winner.purpose == "latency" else "images a second"
    return [f"{three_digits(figure.value)} [{three_digits(figure.low)}, {three_digits(figure.high)}] {unit}"]


def _is_int8(contestant: Contestant) -> bool:
    return contestant.candidate.bundle.manifest.precision == "int8"
