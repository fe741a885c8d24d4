"""Two classifiers on the same images: how much accuracy one lost, and how sure that is.

Only images that one answers rightly and the other wrongly tell them apart.
"""

import math

import numpy as np

from edgecnn.bundle.proof import PairedDrop
from edgecnn.runtime.rates import Z_95


def paired_drop(before: np.ndarray, after: np.ndarray) -> PairedDrop:
    """Compare the right answers of two classifiers on N images, bool [N] each, N at least 1."""
    images = len(before)
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    low, high = paired_interval(lost, won, images)
    return PairedDrop(images, lost, won, (lost - won) / images, low, high)


def paired_interval(lost: int, won: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two paired proportions.

    The score interval of Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, 1998: it holds its level for few and for no differing pairs too.
    """
    drop = (lost - won) / images

    def end(low: float, high: float, wanted: float) -> float:
        for _ in range(60):  # the score falls from low to high
            middle = (low + high) / 2
            low, high = (middle, high) if _score(lost, won, images, middle) > wanted else (low, middle)
        return (low + high) / 2

    return end(-1.0, drop, Z_95), end(drop, 1.0, -Z_95)


def mcnemar(lost: int, won: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: were both equally good, how rare would so uneven pairs be?

    McNemar, Note on the sampling error of the difference between correlated proportions or percentages, 1947; here the
    binomial distribution itself in place of its chi-squared approximation, which few pairs do not follow. Doubling the
    smaller tail is the usual exact form. Whole numbers throughout: nothing is rounded before the last division.
    """
    pairs = lost + won
    term = tail = 1  # ways to choose which pairs the luckier one loses: none of them, then one more at a time
    for chosen in range(min(lost, won)):
        term = term * (pairs - chosen) // (chosen + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << pairs))


def certifiable(images: int) -> float:
    """Return the smallest drop that so many images can bound with 95 % confidence: that of no differing answer."""
    return paired_interval(0, 0, images)[1]


def _score(lost: int, won: int, images: int, drop: float) -> float:
    """Return how many deviations the pairs lie above a supposed drop."""
    slope = -lost - won + (2 * images - lost + won) * drop
    constant = -won * drop * (1 - drop)
    back = (math.sqrt(max(slope * slope - 8 * images * constant, 0.0)) - slope) / (4 * images)
    variance = images * (2 * back + drop * (1 - drop))
    distance = lost - won - images * drop
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
