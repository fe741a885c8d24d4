"""Make a `Prediction` from logits and labels.

The classifier and the client share this module. It imports no engine, so that the client needs none.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.errors import ImageError, UsageError

Stage = Literal["fast", "accurate"]
"""The graph of a cascade that gave an answer."""


@dataclass(frozen=True)
class Prediction:
    """The answer to one image.

    Attributes:
        label: name of the most probable class, also if its probability is below the threshold.
        index: its index in the logits.
        probability: its probability, in [0, 1]: softmax or sigmoid, see `Scores`.
        top: the most probable labels with their probabilities, best first.
        labels: the labels of the image, best first: `label` alone, or for a network with several labels all whose
            probability is at least the threshold; empty if there are none.
        unsure: whether the margin of the answer is below the bundle's `unsure_margin`; false if it has none.
        stage: the graph of a cascade that gave the answer; None for a bundle with one graph.
    """

    label: str
    index: int
    probability: float
    top: tuple[tuple[str, float], ...]
    labels: tuple[str, ...]
    unsure: bool = False
    stage: Stage | None = None

    def _repr_html_(self) -> str:
        """Return the most probable labels with their probabilities as a table with bars, for notebooks."""
        from edgecnn.hints import few
        from edgecnn.html_table import table

        answer = few(self.labels) or "no label reaches the threshold"
        notes = ["unsure"] * self.unsure + ([] if self.stage is None else [f"{self.stage} graph"])
        return table(
            f"{answer} ({', '.join(notes)})" if notes else answer,
            [(label, f"{probability:.1%}") for label, probability in self.top],
            header=("label", "probability"),
            right=(1,),
            shares=[probability for _, probability in self.top],
        )


def prediction_of(
    logits: np.ndarray, labels: Sequence[str], *, top: int, scores: Scores = SOFTMAX, stage: Stage | None = None
) -> Prediction:
    """Return the prediction for the logits [K] of one image, with its `top` best labels."""
    probabilities = probabilities_of(logits, scores)
    # Among equal logits the first wins, as with argmax; a stable sort keeps that order.
    order = np.argsort(-logits, kind="stable")
    ranked = tuple((labels[i], float(probabilities[i])) for i in order[:top])
    count = int((logits >= least_logit(scores)).sum()) if scores.multi_label else 1
    own = tuple(labels[i] for i in order[:count])
    unsure = scores.unsure_margin is not None and not bool(are_sure(logits[None], scores)[0])
    return Prediction(ranked[0][0], int(order[0]), ranked[0][1], ranked, own, unsure, stage)


def margins(logits: np.ndarray, scores: Scores = SOFTMAX) -> np.ndarray:
    """Return how far each decision is from another one, in logits.

    It is the difference of the best and second-best logit, [N], infinite for a single class; for several labels the
    distance of each logit from the threshold, [N, K].
    """
    if scores.multi_label:
        distances: np.ndarray = np.abs(logits - np.float32(least_logit(scores)))
        return distances
    if logits.shape[1] == 1:
        return np.full(len(logits), np.inf)
    ordered = logits.copy()  # the method is faster than `np.partition`
    ordered.partition(-2)
    result: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return result


def margin_per_image(logits: np.ndarray, scores: Scores = SOFTMAX) -> np.ndarray:
    """Return the margin of each answer, [N]: of several labels, the smallest of their margins."""
    found = margins(logits, scores)
    smallest: np.ndarray = found.min(axis=1) if scores.multi_label else found
    return smallest


def are_sure(logits: np.ndarray, scores: Scores) -> np.ndarray:
    """Return for logits [N, K] whether the margin of each answer is at least `scores.unsure_margin`, bool [N].

    All are sure if the bundle has no such margin.
    """
    least = -np.inf if scores.unsure_margin is None else scores.unsure_margin
    sure: np.ndarray = margin_per_image(logits, scores) >= least
    return sure


def least_logit(scores: Scores) -> float:
    """Return the logit whose sigmoid is the threshold of several labels."""
    return math.log(scores.threshold / (1 - scores.threshold))


def probabilities_of(logits: np.ndarray, scores: Scores) -> np.ndarray:
    """Return the scores of logits, float64 [..., K] in [0, 1]."""
    return softmax(logits) if scores.activation == "softmax" else sigmoid(logits)


def check_top(top: int) -> None:
    """Check the number of labels to list.

    Raises:
        UsageError: `top` is not a positive integer.
    """
    if not isinstance(top, int | np.integer) or top < 1:
        raise UsageError(f"top must be a whole number of at least 1, found {top!r:.40}")


def check_several(images: object) -> None:
    """Check that `images` is an iterable of images. A string or bytes is one image.

    Raises:
        UsageError: `images` is a single image.
    """
    if isinstance(images, str | bytes | bytearray | memoryview) or not isinstance(images, Iterable):
        raise UsageError("predictions() expects several images, found one: put it into a list, or call predict()")


def wrong_images(images: object, shape: Sequence[int]) -> UsageError:
    """Return the error for images that are not uint8 [N, *shape]."""
    found, others = type(images).__name__, "takes files, and lists"
    if isinstance(images, np.ndarray):
        found, others = f"{images.dtype} {list(images.shape)}", "resizes and converts"
    return UsageError(f"expected uint8 [N, {', '.join(map(str, shape))}], found {found}; predict() {others}")


def answered(prediction: Prediction | ImageError) -> Prediction:
    """Return the prediction, or raise it if it is an error."""
    if isinstance(prediction, ImageError):
        raise prediction
    return prediction


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, computed in float64 and shifted against overflow."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the sigmoid of each logit, computed in float64 without overflow."""
    result: np.ndarray = np.exp(log_sigmoid(logits))
    return result


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sigmoid. It is finite even if the sigmoid underflows."""
    result: np.ndarray = -np.logaddexp(0.0, -logits.astype(np.float64))
    return result


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the log-softmax over the last axis. It is finite even if a probability underflows."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
