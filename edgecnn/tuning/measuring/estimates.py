"""Percentiles and ratios of noisy turns, with bootstrap intervals.

Whole turns are resampled, because the runs within a turn are correlated. Resampling single runs would give intervals
that are far too narrow (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgecnn.files.schema import ADDED
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.turn import Settled, Turn

RESAMPLES = 1000
LOW, HIGH = 2.5, 97.5
_MOST_TIMES = 500
_MOST_WIDTH = 1.25


@dataclass(frozen=True)
class Speed:
    """The speed of a candidate.

    Attributes:
        p50_ms: median time of one run of a batch.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        images_per_s: throughput.
        runs: number of timed runs.
        turns_ms: median of each turn, in order; for a cascade the mean, see `costs_ms`.
        mean_ms: mean time of one run of a cascade; None without a cascade.
        run_again: share of the images that the accurate graph of a cascade ran too; None without a cascade.
    """

    p50_ms: Estimate
    p90_ms: Estimate
    p99_ms: Estimate
    images_per_s: Estimate
    runs: int
    turns_ms: tuple[float, ...]
    mean_ms: Estimate | None = field(default=None, metadata=ADDED)
    run_again: float | None = field(default=None, metadata=ADDED)

    @property
    def cost_ms(self) -> Estimate:
        """The time of one run to compare: the median, or for a cascade the mean; see `costs_ms`."""
        return self.p50_ms if self.mean_ms is None else self.mean_ms


def speed(turns: Sequence[Turn]) -> Speed:
    """Return the speed of a candidate from its turns."""
    images, seconds = np.array([turn.images for turn in turns]), np.array([turn.seconds for turn in turns])

    def throughput(chosen: np.ndarray) -> float:
        return float(images[chosen].sum() / seconds[chosen].sum())

    again = _again(turns)
    return Speed(
        p50_ms=percentile_ms(turns, 50),
        p90_ms=percentile_ms(turns, 90),
        p99_ms=percentile_ms(turns, 99),
        images_per_s=_estimate(throughput, _choices(len(turns))),
        runs=sum(len(turn.times_ms) for turn in turns),
        turns_ms=costs_ms(turns),
        mean_ms=None if again is None else _mean_ms(turns),
        run_again=None if again is None else again / int(images.sum()),
    )


def percentile_ms(turns: Sequence[Turn], q: float) -> Estimate:
    """Return a percentile of the times of all runs; `q` is 50 for the median."""
    times = [_bounded(np.array(turn.times_ms)) for turn in turns]
    return _estimate(
        lambda chosen: float(np.percentile(np.concatenate([times[number] for number in chosen]), q)),
        _choices(len(turns)),
    )


def costs_ms(turns: Sequence[Turn]) -> tuple[float, ...]:
    """Return the time of a run in each turn: the median, or for a cascade the mean.

    The median of a cascade would be the time of its fast graph alone.
    """
    return tuple(cost_ms([turn]) for turn in turns)


def cost_ms(turns: Sequence[Turn]) -> float:
    """Return the time of a run in all turns: the median, or for a cascade the mean; see `costs_ms`."""
    times = np.concatenate([turn.times_ms for turn in turns])
    return float(np.median(times) if _again(turns) is None else times.mean())


def _again(turns: Sequence[Turn]) -> int | None:
    """Return the number of images that the accurate graph of a cascade ran too; None without a cascade."""
    counts = [turn.again for turn in turns if turn.again is not None]
    return sum(counts) if counts else None


def _mean_ms(turns: Sequence[Turn]) -> Estimate:
    totals, runs = np.array([sum(turn.times_ms) for turn in turns]), np.array([len(turn.times_ms) for turn in turns])
    return _estimate(lambda chosen: float(totals[chosen].sum() / runs[chosen].sum()), _choices(len(turns)))


def medians_ms(turns: Sequence[Turn]) -> tuple[float, ...]:
    """Return the median of each turn."""
    return tuple(float(np.median(turn.times_ms)) for turn in turns)


def _bounded(times: np.ndarray) -> np.ndarray:
    """Return at most `_MOST_TIMES` evenly spaced times of a turn: resampling all of them would take seconds."""
    return times[:: -(-len(times) // _MOST_TIMES)]


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Estimate:
    """Estimate how many times the second candidate is as fast as the first, from one time of each per round."""
    quotients = np.array(slow) / np.array(fast)
    return _estimate(lambda chosen: float(np.median(quotients[chosen])), _choices(len(quotients)))


def why_uncertain(rounds: Settled, ratios: Iterable[Estimate | None]) -> str | None:
    """Return why ratios from these rounds are not reported; None if they are certain.

    Too few rounds are undisturbed, or the upper end of an interval is more than 1.25 × its lower end.
    """
    reason = str(rounds) if rounds.is_busy else None
    for each in ratios:
        if reason is None and each is not None and each.high > _MOST_WIDTH * each.low:
            reason = f"a ratio varies from {each.low:.2f} to {each.high:.2f}"
    return None if reason is None else f"this machine is busy: no speed comparison ({reason})"


def as_fast(found: Estimate) -> str:
    """Return a ratio of speeds as text: `1.60 × [1.55, 1.65] as fast`."""
    is_near_1_or_0 = 0.9 < found.value < 1.1 or found.value < 0.1
    digits = 3 if is_near_1_or_0 else 2 if found.value < 2 else 1
    return f"{found.value:.{digits}f} × [{found.low:.{digits}f}, {found.high:.{digits}f}] as fast"


@dataclass(frozen=True)
class Rounds:
    """The times of one candidate and of the machine's yardstick in each round of a benchmark."""

    times_ms: tuple[float, ...]
    yardstick_ms: tuple[float, ...]


def ratio_between(before: Rounds, after: Rounds) -> Estimate:
    """Estimate how many times a candidate is as fast as before, from two measurements that were not interleaved.

    The change of the yardstick is divided out, as it belongs to the machine. Whole rounds are resampled.
    """
    old = [_corrected(before, chosen) for chosen in _choices(len(before.times_ms))]
    new = [_corrected(after, chosen) for chosen in _choices(len(after.times_ms), seed=1)]
    low, high = np.percentile(np.array(old) / np.array(new), [LOW, HIGH])
    everything = [np.arange(len(each.times_ms)) for each in (before, after)]
    value = _corrected(before, everything[0]) / _corrected(after, everything[1])
    return Estimate(value, float(low), float(high))


def _corrected(rounds: Rounds, chosen: np.ndarray) -> float:
    """Return the median in units of the yardstick's median."""
    times, yardstick = np.array(rounds.times_ms), np.array(rounds.yardstick_ms)
    return float(np.median(times[chosen]) / np.median(yardstick[chosen]))


def _choices(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return random rounds for every resample, drawn with replacement."""
    return list(np.random.default_rng(seed).integers(0, count, (RESAMPLES, count)))


def _estimate(statistic: Callable[[np.ndarray], float], choices: list[np.ndarray]) -> Estimate:
    everything = np.arange(len(choices[0]))
    low, high = np.percentile([statistic(chosen) for chosen in choices], [LOW, HIGH])
    return Estimate(statistic(everything), float(low), float(high))
