"""From a histogram to the range that is quantized; values beyond it are clipped, so that the step is finer."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.plan import ActivationQuantization, Range, activation_quantization

Method = Literal["minmax", "percentile", "entropy", "mse"]

_STEPS = 64  # candidates for each end of the range
_ROUNDS = 2  # each end is chosen so often, the other one held

_Cost = Callable[[np.ndarray, np.ndarray, ActivationQuantization], float]


def threshold(histogram: Histogram, method: Method, *, percentile: float, symmetric: bool) -> Range:
    """Choose the range of a tensor.

    Args:
        histogram: of its values.
        method: `minmax` clips nothing that was seen. `percentile` clips a share of the values. `mse` minimises the
            squared error of the quantized values. `entropy` minimises what their distribution loses (Kullback-Leibler
            divergence; Migacz, 8-bit Inference with TensorRT, 2017).
        percentile: of `percentile`, in percent: so many of the values stay within the range.
        symmetric: whether the range will be quantized without zero point.
    """
    seen = Range(histogram.low, histogram.high)
    if method == "minmax" or histogram.low == histogram.high:
        return seen
    if method == "percentile":
        return _percentile(histogram, percentile, seen)
    return _search(histogram, _COSTS[method], seen, symmetric)


def _percentile(histogram: Histogram, percentile: float, seen: Range) -> Range:
    """Cut as many values off each end; an end at zero stays, since nothing is won there."""
    cumulated = np.cumsum(histogram.counts)
    total = int(cumulated[-1])
    ends = 1 if seen.low >= 0 or seen.high <= 0 else 2
    beyond = round((100 - percentile) / 100 * total / ends, 6)  # 99.9 % of a whole number is one, in decimals
    first = int(np.searchsorted(cumulated, beyond, side="right"))
    last = int(np.searchsorted(cumulated, total - beyond, side="left"))
    edges = histogram.edges
    low = seen.low if seen.low >= 0 else max(seen.low, float(edges[first]))
    high = seen.high if seen.high <= 0 else min(seen.high, float(edges[last + 1]))
    return Range(low, high)


def _search(histogram: Histogram, cost: _Cost, seen: Range, symmetric: bool) -> Range:
    """Find the range of least cost: each end is moved towards zero in steps, in turns.

    Zeros count nothing: every range represents them exactly, but as the bulk of what lies behind a ReLU they would
    decide the divergence.
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
    """Return the Kullback-Leibler divergence of the quantized distribution from the reference, in nats a value.

    What is clipped counts in the outermost bins of the reference (as in Migacz's slides), and all bins that fall into
    one level share it equally.
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
