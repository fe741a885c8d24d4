"""The images that the live page shows, with their labels and predictions."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgecnn.bundle.decoding import MODES

_COUNT = 16
_LONGEST_SIDE = 192  # pixels of a picture on the page


@dataclass(frozen=True)
class Judged:
    """The label of an image, the predicted one, and its probability."""

    label: str
    prediction: str
    probability: float
    right: bool


def sample_places(count: int) -> list[int]:
    """Return the places of the samples in `count` images: equal distances, so that sorted images show many classes."""
    return [int(place) for place in np.linspace(0, count - 1, min(_COUNT, count)).round()]


class Samples:
    """The images that the page shows. `pictures` are data addresses of PNG files."""

    def __init__(self, pixels: np.ndarray, targets: Sequence[int], labels: tuple[str, ...]) -> None:
        """Take images, uint8 [N, H, W, C], the number of the label of each, and the labels."""
        self.pictures = [_picture(each) for each in pixels]
        self._targets, self._labels = targets, labels

    def judged(self, probabilities: np.ndarray) -> tuple[Judged, ...]:
        """Return the predictions of the images.

        Args:
            probabilities: float32 [N, K].
        """
        answers = probabilities.argmax(axis=1).tolist()
        return tuple(
            Judged(self._labels[target], self._labels[answer], float(row[answer]), answer == target)
            for row, answer, target in zip(probabilities, answers, self._targets, strict=True)
        )


def _picture(pixels: np.ndarray) -> str:
    """Return an image, uint8 [H, W, C], as the data address of a PNG file."""
    image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels, MODES[pixels.shape[2]])
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
