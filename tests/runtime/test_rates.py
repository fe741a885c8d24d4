"""Rates and their intervals, compared with SciPy."""

import pytest
from scipy import stats

from edgecnn.runtime.rates import rate, wilson


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (9208, 10_000), (1, 3)])
def test_matches_scipys_wilson_interval(right: int, images: int):
    expected = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert wilson(right, images) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_rate_without_images_has_the_full_interval():
    assert rate(0, 0).value is None
    assert (rate(0, 0).low, rate(0, 0).high) == (0, 1)
