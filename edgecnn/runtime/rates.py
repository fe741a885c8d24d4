"""Rates with confidence intervals, such as accuracy and agreement."""

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""95 % of the standard normal distribution lie within this number of standard deviations."""

_SMALLEST = -4  # exponent of the smallest number that is written without one


@dataclass(frozen=True)
class Rate:
    """A share of images with its 95 % confidence interval.

    Attributes:
        right: number of images that count.
        images: number of all images.
        value: `right / images`; None without images.
        low: lower end of Wilson's 95 % interval.
        high: upper end.
    """

    right: int
    images: int
    value: float | None
    low: float
    high: float

    def __str__(self) -> str:
        return f"{percent(self.value)} [{percent(self.low)}, {percent(self.high)}]"


def rate(right: int, images: int) -> Rate:
    """Return a rate with its 95 % interval."""
    low, high = wilson(right, images)
    return Rate(right, images, right / images if images else None, low, high)


def wilson(right: int, images: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate, of 95 % if `z` is not given. It is valid near 0 and 1.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    if not images:
        return 0.0, 1.0
    share, squared = right / images, z**2 / images
    centre = share + squared / 2
    half = z * math.sqrt(share * (1 - share) / images + squared / (4 * images))
    return max(0.0, (centre - half) / (1 + squared)), min(1.0, (centre + half) / (1 + squared))


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{three_digits(self.value)} [{three_digits(self.low)}, {three_digits(self.high)}]"


def percent(fraction: float | None) -> str:
    """Format a fraction as a percentage with two decimals."""
    return "unknown" if fraction is None else f"{fraction:.2%}"


def three_digits(value: float) -> str:
    """Format a number with three digits: `0.0123`, `1.50`, `4,130`. Below 0.0001 it has an exponent."""
    if not math.isfinite(value):
        return "not finite"
    exponent = int(f"{value:.2e}".partition("e")[2])
    if value == 0 or exponent < _SMALLEST:
        return f"{value:.3g}"
    return f"{round(value, 2 - exponent):,.{max(0, 2 - exponent)}f}"
