"""Metrics of a classifier: accuracy with confidence interval, confusion matrix, calibration."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.prediction import log_sigmoid, probabilities_of
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.verification.answers import answers_of
from edgecnn.runtime.verification.per_class import distinct

BINS = 15
"""Number of bins of the calibration error, as in the paper."""


@dataclass(frozen=True)
class Bin:
    """The images whose top probability is in one of `BINS` equal intervals; for several labels, the decisions.

    `confidence` is the mean probability, and `accuracy` the rate of correct labels. Both are None for an empty bin.
    """

    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ClassificationMetrics:
    """The metrics of a classifier on a split.

    Attributes:
        top1: rate of images whose target has the largest logit.
        top5: rate of images whose target is among the five largest logits; None for five classes or fewer.
        loss: mean cross entropy, in nats; for sigmoids mean binary cross entropy of all classes.
        calibration_error: expected calibration error: mean gap between top probability and accuracy.
        bins: the bins of the calibration error, from low to high probability.
        per_class: class name to top-1 of its images.
        confusion: images [target][answer].
    """

    top1: Rate
    top5: Rate | None
    loss: float
    calibration_error: float
    bins: tuple[Bin, ...]
    per_class: dict[str, Rate]
    confusion: tuple[tuple[int, ...], ...]


def measure(
    logits: np.ndarray, targets: np.ndarray, labels: tuple[str, ...], scores: Scores = SOFTMAX
) -> ClassificationMetrics:
    """Return all metrics.

    Calibration error: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, 2017.

    Args:
        logits: float32 [N, K], finite, N at least 1.
        targets: int64 [N].
        labels: K class names.
        scores: how logits become probabilities, with one label per image.
    """
    probabilities = probabilities_of(logits, scores)
    answers = answers_of(logits, scores)
    right = answers == targets
    classes = len(labels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (targets, answers), 1)
    bins = calibration_bins(probabilities.max(axis=1), right)
    own = probabilities[np.arange(len(targets)), targets]
    return ClassificationMetrics(
        top1=rate(int(right.sum()), len(right)),
        top5=None if classes <= 5 else rate(_among_five(logits, targets), len(right)),
        loss=float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())
        if scores.activation == "softmax"
        else binary_loss(logits, targets[:, None] == np.arange(classes)),
        calibration_error=calibration_error(bins),
        bins=bins,
        per_class={
            name: rate(int(confusion[i, i]), int(confusion[i].sum())) for i, name in enumerate(distinct(labels))
        },
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _among_five(logits: np.ndarray, targets: np.ndarray) -> int:
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return int((best == targets[:, None]).any(axis=1).sum())


def binary_loss(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean binary cross entropy of all decisions, in nats. `truth` is bool [N, K]."""
    return float(-np.where(truth, log_sigmoid(logits), log_sigmoid(-logits)).mean())


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Return the mean gap between probability and accuracy, weighted by the content of each bin."""
    gaps = [each.images * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in bins]
    return sum(gaps) / sum(each.images for each in bins)


def calibration_bins(confidences: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    """Return the bins of N probabilities in [0, 1], and whether each label is correct, bool [N]."""
    places = np.minimum((confidences * BINS).astype(int), BINS - 1)
    found = []
    for number in range(BINS):
        inside = places == number
        count = int(inside.sum())
        mean = (float(confidences[inside].mean()), float(right[inside].mean())) if count else (None, None)
        found.append(Bin(count, *mean))
    return tuple(found)
