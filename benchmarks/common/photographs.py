"""JPEG files of 500 × 375 pixels, cut out of the two real photographs that scikit-learn has."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

_WIDTH, _HEIGHT, _QUALITY = 500, 375, 90


def write_photographs(files: dict[Path, int]) -> None:
    """Write the files that do not exist.

    Args:
        files: path to a number, which decides what the file shows: even numbers a temple, odd ones a flower.
    """
    missing = {file: number for file, number in files.items() if not file.exists()}
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images] if missing else []
    for file, number in missing.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        _cut(pictures[number % len(pictures)], np.random.default_rng(number)).save(file, quality=_QUALITY)


def _cut(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cut a random part, mirrored or not, a little lighter or darker."""
    left = int(random.integers(0, picture.width - _WIDTH + 1))
    top = int(random.integers(0, picture.height - _HEIGHT + 1))
    part = picture.crop((left, top, left + _WIDTH, top + _HEIGHT))
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Brightness(part).enhance(float(random.uniform(0.8, 1.2)))
