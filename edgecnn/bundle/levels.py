"""Convert a decoded picture of any of Pillow's modes to 8 bits per channel in one colour mode."""

import numpy as np
from PIL import Image

from edgecnn.errors import ImageError

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF 6.0
_FIRST = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}
"""Modes that Pillow cannot convert to every other mode, and the mode that they are converted to first."""


def in_mode(picture: Image.Image, mode: str, name: str) -> Image.Image:
    """Return a loaded picture in mode `L`, `RGB` or `RGBA`, by the rules in `decoding`.

    Raises:
        ImageError: samples are outside the ranges in these rules; the message begins with `name`.
    """
    if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
        picture = _in_8_bits(picture, name)
    if "transparency" in picture.info:
        picture = picture.copy()  # the conversion changes the palette
        if mode != "RGBA":  # otherwise Pillow warns about a palette with alpha
            del picture.info["transparency"]
    if picture.mode in _FIRST:
        picture = picture.convert(_FIRST[picture.mode])
    if picture.mode == mode:
        return picture
    try:
        return picture.convert(mode)
    except (TypeError, ValueError):
        if "transparency" not in picture.info:
            raise
        del picture.info["transparency"]  # a transparent colour that does not fit the mode
        return picture.convert(mode)


def _in_8_bits(picture: Image.Image, name: str) -> Image.Image:
    """Return a picture of 16-bit or 32-bit samples in mode `L`."""
    tags = getattr(picture, "tag_v2", {})  # of a TIFF file
    samples = np.asarray(picture)
    if picture.mode == "F":
        largest = _largest(samples, "float", (1, 255), name)
        levels = (samples * 255 + 0.5 if largest == 1 else samples).astype(np.uint8)
    elif picture.mode == "I" and tags.get(_BITS) != (16,):
        largest = _largest(samples, "integer", (255, 65535), name)
        levels = (samples >> (8 if largest > 255 else 0)).astype(np.uint8)
    else:
        bits = tags.get(_BITS, (16,))[0]
        if picture.mode == "I":  # signed: 15 bits and the sign
            bits = 15
            _largest(samples, "integer", (32767,), name)
        levels = (samples >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # up to 8 bits, Pillow inverts it itself
        levels = 255 - levels
    return Image.fromarray(levels)


def _largest(samples: np.ndarray, kind: str, limits: tuple[int, ...], name: str) -> int:
    """Return the smallest of the limits that no sample exceeds."""
    low, high = samples.min(), samples.max()
    for limit in limits:
        if low >= 0 and high <= limit:  # False for NaN
            return limit
    expected = " or ".join(f"0..{limit}" for limit in limits)
    raise ImageError(f"{name} has {kind} samples in {low:g}..{high:g}, expected {expected}: scale them")
