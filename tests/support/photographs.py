"""Photographs of odd sizes, and the preprocessing for them."""

from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from edgecnn.bundle.choices import Fit, Interpolation
from edgecnn.bundle.decoding import Mode
from edgecnn.bundle.preprocessing import Preprocessing, Resize

SIZES = [(1, 1), (1, 37), (61, 1), (2, 3), (31, 31), (33, 32), (47, 101), (199, 97), (224, 225), (427, 640)]
RESIZES = [None, (1,), (17,), (64,), (33, 50), (64, 64)]
CROPS = [None, (1, 1), (32, 32), (33, 20), (51, 64)]


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """Two photographs of 427 × 640 pixels: a temple in China and a flower."""
    return tuple(load_sample_images().images)


def photograph(height: int, width: int, *, mode: Mode = "RGB", number: int = 0) -> Image.Image:
    """Return the centre of a photograph, or a scaled photograph if the size is larger."""
    picture = Image.fromarray(photographs()[number]).convert(mode)
    if height > picture.height or width > picture.width:
        return picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def built(
    mode: Mode,
    resize: tuple[int, ...] | None,
    crop: tuple[int, int] | None,
    interpolation: Interpolation = "bilinear",
) -> Preprocessing:
    mean, std = ((0.5,), (0.25,)) if mode == "L" else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return Preprocessing(mode, Resize(resize, interpolation) if resize else None, crop, mean, std)


def fitted(
    fit: Fit, size: tuple[int, ...], interpolation: Interpolation = "bilinear", fill: tuple[int, ...] = (0,)
) -> Preprocessing:
    return Preprocessing("RGB", Resize(size, interpolation, fit, fill), None, (0.5,) * 3, (0.25,) * 3)
