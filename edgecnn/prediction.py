"""From logits and labels to a `Prediction`: the same wherever the logits were computed, here or on a server.

It knows no engine and no network, so that whoever only asks a server needs neither.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.errors import ImageError, UsageError


@dataclass(frozen=True)
class Prediction:
    """The answer to one image.

    Attributes:
        label: name of the most probable class.
        index: its position among the logits.
        probability: its softmax probability, in [0, 1].
        top: the most probable labels with their probabilities, best first.
    """

    label: str
    index: int
    probability: float
    top: tuple[tuple[str, float], ...]


def prediction_of(logits: np.ndarray, labels: Sequence[str], *, top: int) -> Prediction:
    """Return the prediction that the logits [K] of one image stand for, with its `top` best labels."""
    probabilities = softmax(logits)
    # The best is the first largest logit, as everywhere; a stable sort keeps that order among equals.
    best = np.argsort(-logits, kind="stable")[:top]
    ranked = tuple((labels[i], float(probabilities[i])) for i in best)
    return Prediction(ranked[0][0], int(best[0]), ranked[0][1], ranked)


def check_top(top: int) -> None:
    """Check the number of labels to list.

    Raises:
        UsageError: it is less than one, or no whole number.
    """
    if not isinstance(top, int | np.integer) or top < 1:
        raise UsageError(f"top must be a whole number of at least 1, found {top!r:.40}")


def check_several(images: object) -> None:
    """Check that these are several images; text and bytes, which are iterable too, are one.

    Raises:
        UsageError: it is one image.
    """
    if isinstance(images, str | bytes | bytearray | memoryview) or not isinstance(images, Iterable):
        raise UsageError("predictions() takes several images: put the one into a list, or call predict()")


def wrong_images(images: object, shape: Sequence[int]) -> UsageError:
    """Return the error for images that are not uint8 [N, *shape]."""
    found, others = type(images).__name__, "takes files, and lists"
    if isinstance(images, np.ndarray):
        found, others = f"{images.dtype} {list(images.shape)}", "resizes and converts"
    return UsageError(f"expected uint8 [N, {', '.join(map(str, shape))}], found {found}; predict() {others}")


def answered(prediction: Prediction | ImageError) -> Prediction:
    """Return a prediction, or raise the error that stands in its place."""
    if isinstance(prediction, ImageError):
        raise prediction
    return prediction


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, computed in float64 and shifted so that nothing overflows."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return result


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax, likewise; finite where a probability is too small to be written."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
