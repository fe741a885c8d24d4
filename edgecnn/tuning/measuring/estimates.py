"""What a few dozen noisy turns say, and how sure that is: percentiles and ratios with bootstrap intervals.

Turns are resampled, not single runs: runs of one turn share the machine's mood, and pretending otherwise would make
the intervals far too narrow (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.runtime.engines.backend import Session
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.turn import InProcess, Turn, interleave

RESAMPLES = 1000
LOW, HIGH = 2.5, 97.5
_MOST_TIMES = 500


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
    times = [_bounded(np.array(turn.times_ms)) for turn in turns]
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
        runs=sum(len(turn.times_ms) for turn in turns),
        turns_ms=medians_ms(turns),
    )


def medians_ms(turns: Sequence[Turn]) -> tuple[float, ...]:
    """Return the median of each turn."""
    return tuple(float(np.median(turn.times_ms)) for turn in turns)


def _bounded(times: np.ndarray) -> np.ndarray:
    """Return a turn's times, of very many evenly spread ones: a thousand resamples of them all would take seconds."""
    return times[:: -(-len(times) // _MOST_TIMES)]


def median_ms(
    sessions: Mapping[str, Session], images: np.ndarray, *, rounds: int = 12, turn_s: float = 0.08
) -> dict[str, Estimate]:
    """Time several sessions on the same batch, in turns; returns the median of one run in milliseconds.

    Args:
        sessions: name to session.
        images: one batch, uint8 [N, H, W, C].
        rounds: turns of each session.
        turn_s: approximate duration of one turn; a turn has three runs at least.
    """
    turns = interleave([InProcess(session, images) for session in sessions.values()], rounds=rounds, seconds=turn_s)
    return {name: speed(took).p50_ms for name, took in zip(sessions, turns, strict=True)}


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Estimate:
    """Estimate how many times as long one candidate takes as another, from one figure of each in the same rounds."""
    quotients = np.array(slow) / np.array(fast)
    return _estimate(lambda chosen: float(np.median(quotients[chosen])), _choices(len(quotients)))


@dataclass(frozen=True)
class Rounds:
    """What one candidate took in each round of a measurement, and what the machine's yardstick took in the same."""

    times_ms: tuple[float, ...]
    yardstick_ms: tuple[float, ...]


def change(before: Rounds, after: Rounds) -> Estimate:
    """Estimate the relative change of the median between two measurements that were not interleaved.

    What the yardstick has changed by is taken out: it is the machine's. The rounds of either day are resampled whole.
    """
    old = [_corrected(before, chosen) for chosen in _choices(len(before.times_ms))]
    new = [_corrected(after, chosen) for chosen in _choices(len(after.times_ms), seed=1)]
    low, high = np.percentile(np.array(new) / np.array(old) - 1, [LOW, HIGH])
    everything = [np.arange(len(each.times_ms)) for each in (before, after)]
    value = _corrected(after, everything[1]) / _corrected(before, everything[0]) - 1
    return Estimate(value, float(low), float(high))


def _corrected(rounds: Rounds, chosen: np.ndarray) -> float:
    """Return a median in units of the yardstick's."""
    times, yardstick = np.array(rounds.times_ms), np.array(rounds.yardstick_ms)
    return float(np.median(times[chosen]) / np.median(yardstick[chosen]))


def _choices(count: int, seed: int = 0) -> list[np.ndarray]:
    """Draw the rounds of every resample, with replacement."""
    return list(np.random.default_rng(seed).integers(0, count, (RESAMPLES, count)))


def _estimate(statistic: Callable[[np.ndarray], float], choices: list[np.ndarray]) -> Estimate:
    everything = np.arange(len(choices[0]))
    low, high = np.percentile([statistic(chosen) for chosen in choices], [LOW, HIGH])
    return Estimate(statistic(everything), float(low), float(high))
