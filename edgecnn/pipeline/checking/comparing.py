"""Compare answers and logits with the reference, within what decoding and rounding change."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.self_test import spread
from edgecnn.pipeline.checking.answers import Kind
from edgecnn.prediction import least_logit, margins, probabilities_of
from edgecnn.runtime.verification.answers import answers_of, same

MAX_DIFFERENCE = 0.1
"""Largest allowed RMS difference of logits or probabilities, as a fraction of their spread between images.

Measured on crops of photographs with EfficientNet-Lite0: a resize that does not round its result to levels differs by
up to 0.06, another filter of the resize by 0.12 to 0.30, BGR by 0.41, and ImageNet's mean and std by 0.67.
"""

_MARGIN = 0.4
"""A label may differ if the reference's margin is below this fraction of the spread: three standard deviations of the
difference of two logits that each differ by `MAX_DIFFERENCE`."""

_MOST_CLOSE = 0.1
"""Largest share of images whose label may differ for a small margin; one image always may."""


@dataclass(frozen=True)
class Difference:
    """The difference of the user's answers from the reference's.

    Attributes:
        images: number of images.
        differing: number of images with another label.
        order: the images, the largest error first; int64 [N].
        error: largest error of a value; None for labels.
        relative: RMS difference of all values, as a fraction of their spread; None for labels.
        holds: whether the answers are equal within the limits.
    """

    images: int
    differing: int
    order: np.ndarray
    error: float | None
    relative: float | None
    holds: bool


def compare_answers(
    kind: Kind, values: np.ndarray, logits: np.ndarray, scale_logits: np.ndarray, scores: Scores
) -> Difference:
    """Compare the user's answers with the reference's logits, float32 [N, K].

    Args:
        kind: what `values` are.
        values: labels int64 [N], or logits or probabilities [N, K]. Logits of softmax may be shifted by a constant.
        logits: the reference's logits of the same images.
        scale_logits: other logits of the reference, float32 [M, K]. Together with `logits` they give the spread.
        scores: how logits become scores.
    """
    every = np.concatenate([logits, scale_logits])
    differs, margin = _differing(kind, values, logits, scores)
    is_close = margin <= _MARGIN * spread(every)
    excused = int((differs & is_close).sum())
    labels_hold = not (differs & ~is_close).any() and excused <= max(1, _MOST_CLOSE * len(logits))
    if kind == "labels":
        order = np.argsort(-np.where(differs, margin, 0.0), kind="stable")
        return Difference(len(logits), int(differs.sum()), order, None, None, labels_hold)
    errors = values - _in_kind(kind, logits, scores)
    if kind == "logits" and scores.activation == "softmax":
        errors = errors - errors.mean(axis=1, keepdims=True)
    relative = float(np.sqrt(np.mean(errors**2)) / max(spread(_in_kind(kind, every, scores)), 1e-12))
    largest = np.abs(errors).max(axis=1)
    order = np.argsort(-largest, kind="stable")
    holds = labels_hold and relative <= MAX_DIFFERENCE
    return Difference(len(logits), int(differs.sum()), order, float(largest.max()), relative, holds)


def _in_kind(kind: Kind, logits: np.ndarray, scores: Scores) -> np.ndarray:
    return logits.astype(np.float64) if kind == "logits" else probabilities_of(logits, scores)


def _differing(kind: Kind, values: np.ndarray, logits: np.ndarray, scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return for each image whether the user's label differs, bool [N], and how far the reference is from it."""
    ours = answers_of(logits, scores)
    if scores.multi_label:
        theirs = values >= (scores.threshold if kind == "probabilities" else least_logit(scores))
        return ~same(ours, theirs), np.where(ours != theirs, margins(logits, scores), 0.0).max(axis=1)
    theirs = values if kind == "labels" else values.argmax(axis=1)
    rows = np.arange(len(logits))
    return ours != theirs, logits[rows, ours] - logits[rows, theirs]
