"""Decides when warm-up is over: when the times of runs show no trend any more.

The first runs of a graph pack weights, fill caches and raise the clock rate. How many runs that takes depends on the
machine. The test is Mann's test against trend (Nonparametric tests against trend, 1945), in Kendall's form.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

WINDOW = 10
"""Number of last points that must show no trend."""

POINT_S = 0.01
"""A point is the median of the runs within this time, at least one: the time of a single short run is too noisy."""

LEVEL = 0.05
LIMIT_S = 5.0


@dataclass(frozen=True)
class WarmUp:
    """The warm-up runs before the first timed run.

    Attributes:
        runs: number of runs.
        seconds: duration.
        steady: whether the last runs showed no trend; otherwise the time limit was reached.
    """

    runs: int
    seconds: float
    steady: bool


def trend(values: Sequence[float]) -> float:
    """Return the two-sided p-value of a trend in values ordered by time, by the Mann-Kendall test; ties are allowed."""
    count = len(values)
    score = sum(_sign(values[j] - values[i]) for i in range(count) for j in range(i + 1, count))
    ties = [values.count(value) for value in set(values)]
    variance = (count * (count - 1) * (2 * count + 5) - sum(tie * (tie - 1) * (2 * tie + 5) for tie in ties)) / 18
    if variance <= 0:
        return 1.0
    deviations = max(abs(score) - 1, 0) / math.sqrt(variance)  # minus one: continuity correction
    return math.erfc(deviations / math.sqrt(2))


def warm_up(
    run: Callable[[], object], *, limit_s: float = LIMIT_S, clock: Callable[[], float] = time.perf_counter
) -> WarmUp:
    """Run until the last `WINDOW` points show no trend, or until the limit."""
    points: list[float] = []
    runs, begin = 0, clock()
    while clock() - begin < limit_s:
        times: list[float] = []
        while not times or (sum(times) < POINT_S and clock() - begin < limit_s):
            start = clock()
            run()
            times.append(clock() - start)
        runs += len(times)
        points.append(median(times))
        if len(points) >= WINDOW and trend(points[-WINDOW:]) > LEVEL:
            return WarmUp(runs, clock() - begin, steady=True)
    return WarmUp(runs, clock() - begin, steady=False)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
