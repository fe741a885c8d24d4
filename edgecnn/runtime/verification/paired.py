"""Compares two classifiers on the same images: the drop, its confidence interval, and McNemar's test.

Only discordant pairs matter: images that exactly one of the classifiers labels correctly.
"""

import math

import numpy as np

from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.runtime.rates import Z_95

MOST_NEEDED = 1_000_000
"""Largest number of images that `images_needed` returns."""


def paired_drop(before: np.ndarray, after: np.ndarray, z: float = Z_95) -> PairedDrop:
    """Compare the correct answers of two classifiers on N images, bool [N] each, N at least 1.

    `z` is the half width of the interval in standard deviations.
    """
    return drop_of(int((before & ~after).sum()), int((after & ~before).sum()), len(before), z)


def drop_of(lost: int, won: int, images: int, z: float = Z_95) -> PairedDrop:
    """Return the drop from the numbers of discordant pairs; see `paired_drop`."""
    return PairedDrop(images, lost, won, (lost - won) / images, *paired_interval(lost, won, images, z))


def paired_interval(lost: float, won: float, images: float, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of the difference of two paired proportions, of 95 % if `z` is not given.

    This is Tango's score interval, which is accurate even with few or no discordant pairs. Tango, Equivalence test and
    confidence interval for the difference in proportions for the paired-sample design, 1998.
    """
    drop = (lost - won) / images

    def end(low: float, high: float, wanted: float) -> float:
        for _ in range(60):  # bisection: the score decreases from low to high
            middle = (low + high) / 2
            low, high = (middle, high) if _score(lost, won, images, middle) > wanted else (low, middle)
        return (low + high) / 2

    return end(-1.0, drop, z), end(drop, 1.0, -z)


def mcnemar(lost: int, won: int) -> float:
    """Return the two-sided p-value of McNemar's exact test, for the hypothesis that both classifiers are equally good.

    It doubles the smaller tail of the binomial distribution; the chi-squared approximation is inaccurate for few pairs.
    The sum uses integers, so that only the last division rounds. McNemar, Note on the sampling error of the difference
    between correlated proportions or percentages, 1947.
    """
    pairs = lost + won
    term = tail = 1  # binomial coefficients, and their sum so far
    for chosen in range(min(lost, won)):
        term = term * (pairs - chosen) // (chosen + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << pairs))


def certifiable(images: int) -> float:
    """Return the smallest drop that this number of images can bound at 95 % confidence: with no discordant pair."""
    return paired_interval(0, 0, images)[1]


def images_needed(drop: PairedDrop, limit: float) -> int | None:
    """Return about how many images decide whether a drop is within a limit.

    This is the number for which the 95 % interval at the same rates of lost and won answers does not contain the limit.
    None if it exceeds `MOST_NEEDED`, as for a drop that equals the limit.
    """
    lost, won = drop.lost / drop.images, drop.won / drop.images

    def decide(images: int) -> bool:
        low, high = paired_interval(lost * images, won * images, images)
        return high <= limit or low > limit

    too_few, enough = 0, MOST_NEEDED
    if not decide(enough):
        return None
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if decide(middle) else (middle, enough)
    return enough


def say_needed(images: int | None) -> str:
    """Return a result of `images_needed` as text."""
    return f"more than {MOST_NEEDED:,} images" if images is None else f"about {images:,} images"


def _score(lost: float, won: float, images: float, drop: float) -> float:
    """Return the score of the pairs under an assumed drop, in standard deviations."""
    slope = -lost - won + (2 * images - lost + won) * drop
    constant = -won * drop * (1 - drop)
    back = (math.sqrt(max(slope * slope - 8 * images * constant, 0.0)) - slope) / (4 * images)
    variance = images * (2 * back + drop * (1 - drop))
    distance = lost - won - images * drop
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
