"""Percentiles and ratios of noisy turns, with bootstrap intervals.

Whole turns are resampled, because the runs within a turn are correlated. Resampling single runs would give intervals
that are far too narrow (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.turn import InProcess, Turn, interleave

RESAMPLES = 1000
LOW, HIGH = 2.5, 97.5
_MOST_TIMES = 500


@dataclass(frozen=True)
class Speed:
    """The speed of a candidate.

    Attributes:
        p50_ms: median time of one run of a batch.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        images_per_s: throughput.
        runs: number of timed runs.
        turns_ms: median of each turn, in order.
    """

    p50_ms: Estimate
    p90_ms: Estimate
    p99_ms: Estimate
    images_per_s: Estimate
    runs: int
    turns_ms: tuple[float, ...]


def speed(turns: Sequence[Turn]) -> Speed:
    """Return the speed of a candidate from its turns."""
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
    """Return at most `_MOST_TIMES` evenly spaced times of a turn: resampling all of them would take seconds."""
    return times[:: -(-len(times) // _MOST_TIMES)]


def median_ms(
    sessions: Mapping[str, Session], images: np.ndarray, *, rounds: int = 12, turn_s: float = 0.08
) -> dict[str, Estimate]:
    """Time several sessions on the same batch, in turns. Return the median time of one run in milliseconds.

    Args:
        sessions: name to session.
        images: one batch, uint8 [N, H, W, C].
        rounds: turns of each session.
        turn_s: approximate duration of one turn; a turn has at least three runs.
    """
    turns = interleave([InProcess(session, images) for session in sessions.values()], rounds=rounds, seconds=turn_s)
    return {name: speed(took).p50_ms for name, took in zip(sessions, turns, strict=True)}


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Estimate:
    """Estimate the ratio of two candidates' times, from one value of each per round."""
    quotients = np.array(slow) / np.array(fast)
    return _estimate(lambda chosen: float(np.median(quotients[chosen])), _choices(len(quotients)))


@dataclass(frozen=True)
class Rounds:
    """The times of one candidate and of the machine's yardstick in each round of a benchmark."""

    times_ms: tuple[float, ...]
    yardstick_ms: tuple[float, ...]


def change(before: Rounds, after: Rounds) -> Estimate:
    """Estimate the relative change of the median between two measurements that were not interleaved.

    The change of the yardstick is divided out, as it belongs to the machine. Whole rounds are resampled.
    """
    old = [_corrected(before, chosen) for chosen in _choices(len(before.times_ms))]
    new = [_corrected(after, chosen) for chosen in _choices(len(after.times_ms), seed=1)]
    low, high = np.percentile(np.array(new) / np.array(old) - 1, [LOW, HIGH])
    everything = [np.arange(len(each.times_ms)) for each in (before, after)]
    value = _corrected(after, everything[1]) / _corrected(before, everything[0]) - 1
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
