"""A histogram of a tensor's values with a growing range.

A bin's width is a power of two, and its edges are multiples of the width. Therefore bins merge in pairs, and the
histogram does not depend on the order of the values.
"""

import math

import numpy as np

BINS = 4096
"""Maximum number of bins. At least half are in use, unless the values are almost equal."""

_CHUNK = 1 << 16  # values per step: they and their bin numbers fit in the processor's cache
_NARROWEST = -100  # exponent of the narrowest bin: its inverse is a finite float32


class Histogram:
    """Counts of values per bin, int64 [B], and the exact smallest and largest value (infinite before the first)."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self._exponent = _NARROWEST
        self._first = 0  # number of the first bin, which starts at this multiple of the width
        self.counts = np.zeros(1, np.int64)

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self._exponent)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, float64 [B + 1]. A value on an edge belongs to the bin above."""
        return (self._first + np.arange(len(self.counts) + 1)) * self.width

    @property
    def centers(self) -> np.ndarray:
        """Centres of the bins within the range, float64 [B]. They approximate the values.

        If no value is negative, the centre of zero's bin is 0: after a ReLU most values are exactly 0.
        """
        edges = np.clip(self.edges, self.low, self.high)
        centers: np.ndarray = (edges[:-1] + edges[1:]) / 2
        zero = -self._first
        if 0 <= zero < len(centers) and self.low == 0:
            centers[zero] = 0.0
        return centers

    def update(self, values: np.ndarray) -> None:
        """Count finite float32 values of any shape."""
        flat = values.reshape(-1)
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self._widen(min(self.low, 0.0), max(self.high, 0.0))
        scale = np.float32(math.ldexp(1.0, -self._exponent))
        for start in range(0, len(flat), _CHUNK):
            bins = np.floor(flat[start : start + _CHUNK] * scale).astype(np.int32) - self._first
            self.counts += np.bincount(bins, minlength=len(self.counts))

    def _widen(self, low: float, high: float) -> None:
        """Extend the bins to this range, which includes zero and all counted values."""
        exponent = self._exponent
        while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= BINS:
            exponent += 1
        merged = np.arange(len(self.counts)) + self._first >> exponent - self._exponent
        first, last = math.floor(math.ldexp(low, -exponent)), math.floor(math.ldexp(high, -exponent))
        counts = np.zeros(last - first + 1, np.int64)
        np.add.at(counts, merged - first, self.counts)
        self._exponent, self._first, self.counts = exponent, first, counts
