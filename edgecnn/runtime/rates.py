"""A fraction of images and how sure one can be of the rate behind it: the one way to count right answers."""

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The standard normal distribution holds 95 % within this many deviations."""


@dataclass(frozen=True)
class Rate:
    """A fraction of images, with the 95 % interval of the rate behind it.

    Attributes:
        right: how many images.
        images: out of how many.
        value: their ratio; None where there are no images.
        low: lower end of Wilson's 95 % interval.
        high: upper end.
    """

    right: int
    images: int
    value: float | None
    low: float
    high: float


def rate(right: int, images: int) -> Rate:
    """Return a fraction with its 95 % interval."""
    low, high = wilson(right, images)
    return Rate(right, images, right / images if images else None, low, high)


def wilson(right: int, images: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a rate: right near 0 and 1 too, where the normal one is not.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    if not images:
        return 0.0, 1.0
    share, squared = right / images, Z_95**2 / images
    centre = share + squared / 2
    half = Z_95 * math.sqrt(share * (1 - share) / images + squared / (4 * images))
    return max(0.0, (centre - half) / (1 + squared)), min(1.0, (centre + half) / (1 + squared))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float
