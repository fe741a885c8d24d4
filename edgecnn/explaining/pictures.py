"""Draw values as small PNG pictures with 8 bits per channel."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from edgecnn.explaining.explanation import Picture

LARGEST_SIDE, _SMALLEST_SIDE = 56, 14
"""Largest height and width of the picture of a map, and how far `fitting_side` reduces it."""

_DIGITS = 9
"""Digits that identify a float32 number."""


def draw(values: np.ndarray, low: float, high: float) -> Picture:
    """Draw finite values [H, W] or [H, W, 3] in low..high. If all values are equal, `high` is larger all the same.

    `low` and `high` are rounded to nine digits.
    """
    low, high = short(low), short(high)
    high = high if high > low else low + max(1.0, abs(low))
    levels = np.rint(255 * (np.clip(values, low, high) - low) / (high - low))
    return Picture(encoded(levels.astype(np.uint8)), low, high)


def encoded(levels: np.ndarray) -> str:
    """Return uint8 [H, W] or [H, W, 3] as a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def reduced(values: np.ndarray, largest: int) -> np.ndarray:
    """Return maps [C, H, W], reduced to sides of at most `largest` pixels.

    A pixel of the result is the mean over k × k values, k = ceil(longer side / largest); at the lower and right edge
    over the values that are there.
    """
    height, width = values.shape[-2:]
    k = -(-max(height, width) // largest)
    if k == 1:
        return values
    rows, columns = np.arange(0, height, k), np.arange(0, width, k)
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), rows, axis=-2), columns, axis=-1)
    counts = np.minimum(k, height - rows)[:, None] * np.minimum(k, width - columns)
    result: np.ndarray = sums / counts
    return result


def fitting_side(shapes: Iterable[tuple[int, int, int]], largest: int, pixels: int) -> int:
    """Return the largest side of pictures, at most `largest`, at which all maps have at most `pixels` pixels.

    It is not reduced below 14. `shapes` are the number, height and width of the maps of each layer.
    """
    known = list(shapes)

    def total(side: int) -> int:
        factors = [-(-max(height, width) // side) for _, height, width in known]
        return sum(
            count * -(-height // k) * -(-width // k) for k, (count, height, width) in zip(factors, known, strict=True)
        )

    return next((side for side in range(largest, _SMALLEST_SIDE, -1) if total(side) <= pixels), _SMALLEST_SIDE)


def finite(values: np.ndarray) -> np.ndarray:
    """Return float64 values with infinite ones replaced by the largest or smallest finite one, and NaN by 0."""
    wide = values.astype(np.float64)
    if np.isfinite(wide).all():
        return wide
    known = wide[np.isfinite(wide)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    return np.nan_to_num(wide, nan=0.0, posinf=high, neginf=low)


def short(value: float, digits: int = _DIGITS) -> float:
    """Return a number with at most this number of digits, which keeps JSON small."""
    return float(f"{value:.{digits}g}")
