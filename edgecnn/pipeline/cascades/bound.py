"""How sure an agreement is: one-sided Clopper-Pearson bounds, and the images that they take.

Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, 1934. The bound
is exact: it holds with at least 95 % for any number of images and any rate, unlike an interval from the normal
distribution.
"""

import math

import numpy as np

_RISK = 0.05
_STEPS = 100  # of the bisection: float64 has 53 bits
_MOST_IMAGES = 1_000_000


def upper_bound(differing: int, images: int) -> float:
    """Return the one-sided 95 % upper bound of the rate of differing answers, in [0, 1].

    It is the largest rate at which at most this many of the images differ with a probability of 5 %.
    """
    if differing >= images:
        return 1.0
    low, high = differing / images, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if at_most(differing, images, middle) > _RISK:
            low = middle
        else:
            high = middle
    return high


def at_most(differing: int, images: int, rate: float) -> float:
    """Return the probability that at most this many of the images differ, for a rate in [0, 1]."""
    if rate in (0.0, 1.0):
        return 1.0 if rate == 0.0 or differing >= images else 0.0
    counts = range(differing + 1)
    logs = [_log_choices(images, k) + k * math.log(rate) + (images - k) * math.log1p(-rate) for k in counts]
    return _sum_of_powers(logs)


def most_differing(images: int, limit: float) -> int:
    """Return how many answers may differ so that the upper bound is at most `limit`; -1 if none may."""
    most = -1
    while most + 1 < images and at_most(most + 1, images, limit) <= _RISK:
        most += 1
    return most


def least_images(limit: float) -> int:
    """Return how many images without a differing answer show that the rate is at most `limit`, in (0, 1)."""
    count = max(1, math.floor(math.log(_RISK) / math.log1p(-limit)))
    while at_most(0, count, limit) > _RISK:
        count += 1
    return count


def images_needed(differing: int, images: int, limit: float) -> int | None:
    """Return about how many images would show that the rate is at most `limit`, if it stays the same.

    None if the rate is at least `limit`, or if more than 1,000,000 images would be needed.
    """
    rate = differing / images
    low, high = images, 2 * images
    while high <= 2 * _MOST_IMAGES and at_most(math.ceil(rate * high), high, limit) > _RISK:
        low, high = high, 2 * high
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if at_most(math.ceil(rate * middle), middle, limit) > _RISK else (low, middle)
    return high if rate < limit and high <= _MOST_IMAGES else None


def chance(differing: int, images: int, others: int, most: int) -> float:
    """Return the probability that at most `most` of `others` images differ, after `differing` of `images` have.

    The rate has the posterior Beta(differing + 1/2, images - differing + 1/2) of Jeffreys' prior (Brown, Cai and
    DasGupta, Interval Estimation for a Binomial Proportion, 2001).
    """
    a, b = differing + 0.5, images - differing + 0.5
    counts = range(most + 1)
    return _sum_of_powers(
        [_log_choices(others, k) + _log_beta(k + a, others - k + b) - _log_beta(a, b) for k in counts]
    )


def _log_choices(images: int, chosen: int) -> float:
    return math.lgamma(images + 1) - math.lgamma(chosen + 1) - math.lgamma(images - chosen + 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _sum_of_powers(logs: list[float]) -> float:
    """Return the sum of e to the power of each number; the largest is taken out against underflow."""
    if not logs:
        return 0.0
    largest = max(logs)
    return float(min(1.0, math.exp(largest) * np.exp(np.array(logs) - largest).sum()))
