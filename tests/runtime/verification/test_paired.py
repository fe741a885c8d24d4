"""Paired intervals, compared with published values and simulations."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from edgecnn.runtime.verification.paired import certifiable, mcnemar, paired_drop, paired_interval


def test_drop_is_lost_minus_won():
    before = np.array([True, True, True, False, False])
    after = np.array([True, False, False, True, False])
    found = paired_drop(before, after)
    assert (found.images, found.lost, found.won) == (5, 2, 1)
    assert found.drop == pytest.approx(0.2)
    assert found.low < found.drop < found.high


def test_interval_is_antisymmetric():
    low, high = paired_interval(7, 3, 200)
    assert paired_interval(3, 7, 200) == pytest.approx((-high, -low))


@pytest.mark.parametrize("rates", [(0.002, 0.001), (0.02, 0.01), (0.1, 0.1)])
def test_interval_covers_the_truth_at_its_level(rates: tuple[float, float]):
    random = np.random.default_rng(0)
    pairs = random.multinomial(1000, [*rates, 1 - sum(rates)], size=1500)
    truth = rates[0] - rates[1]
    intervals = [paired_interval(int(lost), int(won), 1000) for lost, won, _ in pairs]
    share = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 <= share <= 0.99


def test_computes_the_certifiable_drop():
    assert certifiable(100) == pytest.approx(0.0370, abs=1e-4)
    assert certifiable(3838) == pytest.approx(0.001, rel=1e-3)


def exact(lost: int, won: int) -> Fraction:
    """Return the probability of pairs that are at least as uneven, by summing all outcomes."""
    pairs = lost + won
    return sum(
        (
            Fraction(comb(pairs, first), 2**pairs)
            for first in range(pairs + 1)
            if abs(2 * first - pairs) >= abs(lost - won)
        ),
        Fraction(0),
    )


@pytest.mark.parametrize("pairs", [(0, 0), (1, 0), (0, 1), (5, 5), (15, 6), (6, 15), (0, 12), (131, 90), (1, 2000)])
def test_mcnemar_is_exact(pairs: tuple[int, int]):
    assert mcnemar(*pairs) == pytest.approx(float(exact(*pairs)), rel=1e-12)


def test_mcnemar_matches_published_values():
    # Fay, Exact McNemar's Test and Matching Confidence Intervals, 2010.
    assert mcnemar(9, 2) == pytest.approx(0.06543, abs=1e-5)
    assert mcnemar(0, 6) == 2 / 64


def test_mcnemar_accepts_thousands_of_pairs():
    assert mcnemar(5000, 5000) == 1
    assert mcnemar(1100, 900) == pytest.approx(float(exact(1100, 900)), rel=1e-12)
    assert mcnemar(20_000, 0) == 0  # 2^-19999 is below every float
