"""Chooses the winner, and explains the choice in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.runtime.profile import Profile, write_profile
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.contest import Contestant, Trial
from edgecnn.tuning.measuring.estimates import ratio


@dataclass(frozen=True)
class Tuned:
    """The profile that tuning found, and the result of every candidate."""

    profile: Profile
    trials: tuple[Trial, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the sessions, each once."""
        return tuple(dict.fromkeys(note for trial in self.trials for note in trial.notes))

    def keep(self) -> Path:
        """Write the profile, which new sessions on this machine then use. Return its path.

        Raises:
            EdgecnnError: the file cannot be written.
        """
        return write_profile(self.profile)


def decide(finalists: Sequence[Contestant]) -> tuple[Contestant, Estimate | None]:
    """Return the winner, and its speedup over the best of the other precision, or None if there is none.

    The fastest wins. INT8 wins only if the interval of its speedup is above 1, because FP32 is more accurate.
    """
    fastest = finalists[0]
    fp32 = next((c for c in finalists if not _is_int8(c)), None)
    int8 = next((c for c in finalists if _is_int8(c)), None)
    if fp32 is None or int8 is None:
        return fastest, None
    gain = ratio(fp32.costs(), int8.costs())
    if gain.low > 1:
        return int8, gain
    return fp32, ratio(int8.costs(), fp32.costs())


def say(winner: Contestant, gain: Estimate | None, field: Sequence[Contestant], baseline: Contestant | None) -> str:
    """Return a sentence with the best setting, its speedup and its drop.

    `gain` is the result of `decide`, `field` are all candidates, and `baseline` is the PyTorch reference.
    """
    setting = winner.candidate.setting
    name = f"{_precision(winner)} on {setting}"
    if _is_int8(winner):
        return f"{name}: {_against(winner, gain, baseline)}, {0.0 - winner.drop:+.2f} points"
    begin = f"keep {name}" if any(_is_int8(c) for c in field) else name
    why = _why_not_int8(gain, field)
    faster = _against(winner, None, baseline)
    return ": ".join(part for part in (begin, "; ".join(part for part in (why, faster) if part)) if part)


def _against(winner: Contestant, gain: Estimate | None, baseline: Contestant | None) -> str:
    if baseline is not None and baseline.candidate.failure is None and baseline.turns:
        rounds = min(len(baseline.turns), len(winner.turns))
        found = ratio(baseline.costs()[:rounds], winner.costs()[:rounds])
        if found.high < 1:
            return f"{_times(ratio(winner.costs()[:rounds], baseline.costs()[:rounds]))} slower than PyTorch"
        return f"{_times(found)} faster than PyTorch"
    if gain is not None:
        return f"{_times(gain)} faster than FP32"
    figure = winner.chosen().figure
    unit = "ms an image" if winner.purpose == "latency" else "images a second"
    return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}] {unit}"


def _why_not_int8(gain: Estimate | None, field: Sequence[Contestant]) -> str:
    """Return why INT8 was not chosen; empty if none applies."""
    if gain is not None:
        if gain.low > 1:
            return f"INT8 is {_times(gain)} slower here"
        return f"INT8 is not faster here ({_times(gain)} its time)"
    reasons = dict.fromkeys(c.out for c in field if _is_int8(c) and c.out not in (None, "slower"))
    return f"INT8 was rejected: {'; '.join(str(reason) for reason in reasons)}" if reasons else ""


def _is_int8(contestant: Contestant) -> bool:
    return contestant.candidate.bundle.manifest.precision == "int8"


def _precision(contestant: Contestant) -> str:
    return contestant.candidate.bundle.manifest.precision.upper()


def _times(estimate: Estimate) -> str:
    digits = 1 if estimate.value >= 2 else 2
    return f"{estimate.value:.{digits}f} × [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
