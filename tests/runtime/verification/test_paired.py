"""Paired intervals, compared with published values and simulations."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.runtime.verification.paired import (
    certifiable,
    drop_of,
    images_needed,
    mcnemar,
    paired_drop,
    paired_interval,
    say_needed,
)


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


def test_interval_decides():
    good, bad, unsure = drop_of(0, 0, 5000), drop_of(50, 0, 1000), drop_of(1, 0, 200)
    assert [each.against(0.001) for each in (good, bad, unsure)] == ["passes", "fails", "undecided"]
    assert str(drop_of(1, 0, 200)) == "+0.50 points [-1.39, +2.78]"


def test_a_wider_interval_contains_the_narrower():
    narrow, wide = drop_of(7, 3, 500), drop_of(7, 3, 500, 3.29)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.drop == narrow.drop


def test_images_needed_without_discordant_pairs_equal_the_certifiable_drop():
    needed = images_needed(drop_of(0, 0, 200), 0.001)
    assert needed is not None
    assert certifiable(needed) <= 0.001 < certifiable(needed - 1)


def test_a_drop_closer_to_the_limit_needs_more_images():
    needed = [images_needed(drop_of(lost, 2, 1000), 0.01) for lost in (3, 6, 9, 11, 13, 16, 22)]
    assert None not in needed
    assert needed[:4] == sorted(needed[:4])
    assert needed[4:] == sorted(needed[4:], reverse=True)


def test_more_discordant_pairs_need_more_images():
    needed = [images_needed(drop_of(pairs + 2, pairs, 1000), 0.01) for pairs in (0, 3, 10, 30)]
    assert needed == sorted(needed)
    assert len(set(needed)) == 4


@pytest.mark.parametrize(("drop", "limit"), [(drop_of(3, 1, 1000), 0.002), (drop_of(0, 0, 200), 0.0)])
def test_no_number_of_images_decides_an_equal_drop(drop: PairedDrop, limit: float):
    assert images_needed(drop, limit) is None
    assert say_needed(None) == "more than 1,000,000 images"


@pytest.mark.parametrize("rates", [(0.004, 0.002), (0.03, 0.01)])
def test_the_needed_images_decide_about_half_of_the_time(rates: tuple[float, float]):
    limit = 0.01
    lost, won = (round(rate * 1000) for rate in rates)
    needed = images_needed(drop_of(lost, won, 1000), limit)
    assert needed is not None
    pairs = np.random.default_rng(0).multinomial(needed, [*rates, 1 - sum(rates)], size=400)
    verdicts = [drop_of(int(lost), int(won), needed).against(limit) for lost, won, _ in pairs]
    right = "passes" if rates[0] - rates[1] < limit else "fails"
    assert 0.3 < verdicts.count(right) / len(verdicts) < 0.7
    assert set(verdicts) <= {right, "undecided"}
