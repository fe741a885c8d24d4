"""Choose the quantized range from a histogram. Values outside are clipped, so that the step is finer."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.plan import ActivationQuantization, Range, activation_quantization

Method = Literal["minmax", "percentile", "entropy", "mse"]

_STEPS = 64  # candidates for each end of the range
_ROUNDS = 2  # number of times that each end is chosen, with the other end fixed

_Cost = Callable[[np.ndarray, np.ndarray, ActivationQuantization], float]


def threshold(histogram: Histogram, method: Method, *, percentile: float, symmetric: bool) -> Range:
    """Choose the range of a tensor.

    Args:
        histogram: histogram of the tensor's values.
        method: `minmax` clips no calibration value. `percentile` clips a share of the values. `mse` minimises the
            squared error of the quantized values. `entropy` minimises the Kullback-Leibler divergence of their
            distribution (Migacz, 8-bit Inference with TensorRT, 2017).
        percentile: for `percentile`: percentage of the values inside the range.
        symmetric: whether the range is quantized without zero point.
    """
    seen = Range(histogram.low, histogram.high)
    if method == "minmax" or histogram.low == histogram.high:
        return seen
    if method == "percentile":
        return _percentile(histogram, percentile, seen)
    return _search(histogram, _COSTS[method], seen, symmetric)


def _percentile(histogram: Histogram, percentile: float, seen: Range) -> Range:
    """Clip the same number of values at each end. An end at zero stays, because clipping there gains nothing."""
    cumulated = np.cumsum(histogram.counts)
    total = int(cumulated[-1])
    ends = 1 if seen.low >= 0 or seen.high <= 0 else 2
    beyond = round((100 - percentile) / 100 * total / ends, 6)  # round off binary fractions
    first = int(np.searchsorted(cumulated, beyond, side="right"))
    last = int(np.searchsorted(cumulated, total - beyond, side="left"))
    edges = histogram.edges
    low = seen.low if seen.low >= 0 else max(seen.low, float(edges[first]))
    high = seen.high if seen.high <= 0 else min(seen.high, float(edges[last + 1]))
    return Range(low, high)


def _search(histogram: Histogram, cost: _Cost, seen: Range, symmetric: bool) -> Range:
    """Return the range with the lowest cost. The two ends move towards zero in steps, alternately.

    Zeros are ignored. Every range represents them exactly, but after a ReLU they are the majority and would dominate
    the divergence.
    """
    filled = np.flatnonzero((histogram.counts > 0) & (histogram.centers != 0))
    centers, counts = histogram.centers[filled], histogram.counts[filled].astype(np.float64)
    fractions = [step / _STEPS for step in range(_STEPS, _STEPS // 8, -1)]

    def best(candidates: list[Range]) -> Range:
        costs = [cost(centers, counts, activation_quantization(each, symmetric=symmetric)) for each in candidates]
        return candidates[int(np.argmin(costs))]

    if symmetric:
        largest = max(-seen.low, seen.high)
        return best([Range(max(seen.low, -largest * f), min(seen.high, largest * f)) for f in fractions])
    found = seen
    for _ in range(_ROUNDS):
        if seen.high > 0:
            found = best([Range(found.low, seen.high * f) for f in fractions])
        if seen.low < 0:
            found = best([Range(seen.low * f, found.high) for f in fractions])
    return found


def _squared_error(centers: np.ndarray, counts: np.ndarray, quantization: ActivationQuantization) -> float:
    return float(counts @ (quantization.rounded(centers) - centers) ** 2)


def _divergence(centers: np.ndarray, counts: np.ndarray, quantization: ActivationQuantization) -> float:
    """Return the Kullback-Leibler divergence of the quantized distribution from the reference, in nats per value.

    Clipped values count in the outermost bins of the reference (as in Migacz's slides). The bins of one level share its
    mass equally.
    """
    levels = quantization.integers(centers).astype(np.int64)
    inside = np.flatnonzero(np.abs(centers / quantization.scale + quantization.zero_point - levels) <= 0.5)
    if not len(inside):
        return np.inf
    first, last = inside[0], inside[-1]
    reference = counts[first : last + 1].copy()
    reference[0] += counts[:first].sum()
    reference[-1] += counts[last + 1 :].sum()
    levels = levels[first : last + 1] - levels[first]
    means = np.bincount(levels, weights=counts[first : last + 1]) / np.maximum(np.bincount(levels), 1)
    p, q = reference / reference.sum(), means[levels] / means[levels].sum()
    return float(p @ np.log(p / q))


_COSTS: dict[str, _Cost] = {"mse": _squared_error, "entropy": _divergence}
