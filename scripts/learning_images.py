"""Write the small images of `edgecnn learn`: python -m scripts.learning_images.

The photographs and digits are sample data of scikit-learn; `edgecnn/learning/IMAGES.md` names their authors. The shapes
are drawn here.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

OUT = Path(__file__).parent.parent / "edgecnn" / "learning" / "images.json"
_DIGIT_SIDE = 16
_PHOTOGRAPH_SIDE = 32
_CROPS = {"flower": ("flower.jpg", (160, 72, 456, 368)), "pagoda": ("china.jpg", (50, 20, 370, 340))}
_DIGITS = {3: 2, 7: 4}  # which sample of each digit


def images() -> dict[str, dict[str, Any]]:
    """Return each image's channels, side, and base64 of its uint8 pixels [C, H, W]."""
    found = {f"digit{digit}": _digit(digit, sample) for digit, sample in _DIGITS.items()}
    found |= {name: _photograph(*crop) for name, crop in _CROPS.items()}
    found |= {"square": _square(), "ring": _ring()}
    return {
        name: {"channels": len(pixels), "side": pixels.shape[1], "pixels": base64.b64encode(pixels.tobytes()).decode()}
        for name, pixels in found.items()
    }


def _digit(digit: int, sample: int) -> np.ndarray:
    data = load_digits()
    small = data.images[np.flatnonzero(data.target == digit)[sample]]
    inner = (_DIGIT_SIDE - 2, _DIGIT_SIDE - 2)
    larger = Image.fromarray((small * 15.9).astype(np.uint8)).resize(inner, Image.Resampling.BICUBIC)
    return np.pad(np.asarray(larger), 1)[None]


def _photograph(name: str, crop: tuple[int, int, int, int]) -> np.ndarray:
    side = (_PHOTOGRAPH_SIDE, _PHOTOGRAPH_SIDE)
    image = Image.fromarray(load_sample_image(name)).crop(crop).resize(side, Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _square() -> np.ndarray:
    pixels = np.zeros((1, _DIGIT_SIDE, _DIGIT_SIDE), np.uint8)
    pixels[:, 4:12, 4:12] = 255
    return pixels


def _ring() -> np.ndarray:
    y, x = np.mgrid[:_DIGIT_SIDE, :_DIGIT_SIDE] - (_DIGIT_SIDE - 1) / 2
    distance = np.abs(np.hypot(x, y) - 5)
    ink: np.ndarray = np.clip(1.8 - distance, 0, 1)
    return (255 * ink).astype(np.uint8)[None]


if __name__ == "__main__":
    OUT.write_text(json.dumps(images(), indent=1) + "\n", encoding="utf-8")
