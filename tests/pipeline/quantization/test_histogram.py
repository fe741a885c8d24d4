"""Histograms with a growing range: the result does not depend on the portions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecnn.pipeline.quantization.histogram import BINS, Histogram

VALUES = arrays.arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
)


def counted(*portions: np.ndarray) -> Histogram:
    histogram = Histogram()
    for portion in portions:
        histogram.update(portion)
    return histogram


@given(VALUES, VALUES)
def test_histogram_ignores_the_order(first: np.ndarray, second: np.ndarray):
    whole = counted(np.concatenate([first, second]))
    for streamed in (counted(first, second), counted(second, first)):
        assert (streamed.low, streamed.high, streamed.width) == (whole.low, whole.high, whole.width)
        assert (streamed.counts == whole.counts).all()
        assert (streamed.edges == whole.edges).all()


@given(VALUES)
def test_counts_every_value_in_its_bin(values: np.ndarray):
    found = counted(values)
    edges = found.edges
    expected = np.histogram(values.astype(np.float64), edges)[0] if len(edges) > 1 else [len(values)]
    assert found.counts.sum() == len(values)
    assert (found.counts == expected).all() or values.max() == edges[-1]


def test_range_grows_to_far_values():
    found = counted(np.full(100, 1e-6, np.float32), np.array([-5e4, 7e4], np.float32))
    assert (found.low, found.high) == (-5e4, np.float32(7e4))
    assert found.counts[0] == found.counts[-1] == 1
    assert BINS / 2 < len(found.counts) <= BINS


def test_matches_numpy():
    values = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    found = counted(*np.split(values, 10))
    assert (found.counts == np.histogram(values.astype(np.float64), found.edges)[0]).all()


def test_zeros_have_one_bin():
    found = counted(np.zeros(10, np.float32))
    assert found.counts.tolist() == [10]
    assert found.centers == pytest.approx([0.0])
