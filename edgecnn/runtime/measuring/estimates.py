"""What a few dozen noisy turns say, and how sure that is: percentiles and ratios with bootstrap intervals.

Turns are resampled, not single runs: runs of one turn share the machine's mood, and pretending otherwise would make
the intervals far too narrow (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.runtime.measuring.turn import Turn

RESAMPLES = 1000
LOW, HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Speed:
    """How fast a candidate is.

    Attributes:
        p50_ms: median time of one run of a batch.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        images_per_s: throughput.
        runs: how many were timed.
        turns_ms: median of each turn, in order.
    """

    p50_ms: Estimate
    p90_ms: Estimate
    p99_ms: Estimate
    images_per_s: Estimate
    runs: int
    turns_ms: tuple[float, ...]


def speed(turns: Sequence[Turn]) -> Speed:
    """Summarise the turns of one candidate."""
    times = [np.array(turn.times_ms) for turn in turns]
    images, seconds = np.array([turn.images for turn in turns]), np.array([turn.seconds for turn in turns])
    choices = _choices(len(turns))

    def percentile(q: float) -> Estimate:
        return _estimate(lambda chosen: float(np.percentile(np.concatenate([times[i] for i in chosen]), q)), choices)

    def throughput(chosen: np.ndarray) -> float:
        return float(images[chosen].sum() / seconds[chosen].sum())

    return Speed(
        p50_ms=percentile(50),
        p90_ms=percentile(90),
        p99_ms=percentile(99),
        images_per_s=_estimate(throughput, choices),
        runs=sum(map(len, times)),
        turns_ms=tuple(float(np.median(values)) for values in times),
    )


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Estimate:
    """Estimate how many times as much one candidate takes as another, from figures of the same rounds.

    Args:
        slow: one figure a round.
        fast: the other's figures of the same rounds: what a round has done to both cancels.
    """
    quotients = np.array(slow) / np.array(fast)
    return _estimate(lambda chosen: float(np.median(quotients[chosen])), _choices(len(quotients)))


def change(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Estimate the relative change of the median between two measurements that were not interleaved.

    Args:
        before: one figure a round.
        after: likewise, of another day.
    """
    old, new = np.array(before), np.array(after)
    chosen_old, chosen_new = _choices(len(old)), _choices(len(new), seed=1)
    found = [float(np.median(new[j]) / np.median(old[i]) - 1) for i, j in zip(chosen_old, chosen_new, strict=True)]
    low, high = np.percentile(found, [LOW, HIGH])
    return Estimate(float(np.median(new) / np.median(old) - 1), float(low), float(high))


def _choices(count: int, seed: int = 0) -> list[np.ndarray]:
    """Draw the rounds of every resample, with replacement."""
    return list(np.random.default_rng(seed).integers(0, count, (RESAMPLES, count)))


def _estimate(statistic: Callable[[np.ndarray], float], choices: list[np.ndarray]) -> Estimate:
    everything = np.arange(len(choices[0]))
    low, high = np.percentile([statistic(chosen) for chosen in choices], [LOW, HIGH])
    return Estimate(statistic(everything), float(low), float(high))
