"""JPEG files of 500 × 375 pixels, cropped from scikit-learn's two photographs."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

_WIDTH, _HEIGHT, _QUALITY = 500, 375, 90


def write_photographs(files: dict[Path, int]) -> None:
    """Write the files that do not exist.

    Args:
        files: path to a number that selects the photograph: even for the temple, odd for the flower.
    """
    missing = {file: number for file, number in files.items() if not file.exists()}
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images] if missing else []
    for file, number in missing.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        _cut(pictures[number % len(pictures)], np.random.default_rng(number)).save(file, quality=_QUALITY)


def _cut(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return a random crop with random mirroring and brightness."""
    left = int(random.integers(0, picture.width - _WIDTH + 1))
    top = int(random.integers(0, picture.height - _HEIGHT + 1))
    part = picture.crop((left, top, left + _WIDTH, top + _HEIGHT))
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Brightness(part).enhance(float(random.uniform(0.8, 1.2)))
