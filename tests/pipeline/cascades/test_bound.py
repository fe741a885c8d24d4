"""Tests of the Clopper-Pearson bound, with SciPy's beta distribution as reference."""

import pytest
from scipy.stats import beta, betabinom

from edgecnn.pipeline.cascades.bound import chance, images_needed, least_images, most_differing, upper_bound


@pytest.mark.parametrize(("differing", "images"), [(0, 1), (0, 2995), (3, 100), (50, 100), (99, 100), (17, 60_000)])
def test_bound_is_a_quantile_of_the_beta_distribution(differing: int, images: int):
    expected = beta.ppf(0.95, differing + 1, images - differing)
    assert upper_bound(differing, images) == pytest.approx(expected, rel=1e-9)


def test_bound_is_1_if_every_answer_differs():
    assert upper_bound(5, 5) == 1


@pytest.mark.parametrize(("agreement", "images"), [(99.9, 2995), (99.5, 598), (99, 299), (95, 59), (50, 5), (1, 1)])
def test_least_images(agreement: float, images: int):
    limit = 1 - agreement / 100
    assert least_images(limit) == images
    assert upper_bound(0, images) <= limit
    assert images == 1 or upper_bound(0, images - 1) > limit


def test_most_differing_is_the_last_count_within_the_limit():
    most = most_differing(5000, 0.005)
    assert upper_bound(most, 5000) <= 0.005 < upper_bound(most + 1, 5000)
    assert most_differing(10, 0.005) == -1


def test_images_needed_would_decide():
    needed = images_needed(2, 1000, 0.003)
    assert needed is not None
    assert upper_bound(round(0.002 * needed), needed) <= 0.003
    assert images_needed(5, 1000, 0.003) is None
    assert images_needed(3, 1000, 0.003) is None


def test_chance_is_a_sum_of_the_beta_binomial_distribution():
    expected = betabinom.cdf(17, 5000, 8.5, 4992.5)
    assert chance(8, 5000, 5000, 17) == pytest.approx(expected, rel=1e-6)
    assert chance(8, 5000, 5000, -1) == 0
