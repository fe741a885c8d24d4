"""Metrics of a classifier: accuracy with confidence interval, confusion matrix, calibration."""

from dataclasses import dataclass

import numpy as np

from edgecnn.prediction import softmax
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.verification.per_class import distinct

BINS = 15
"""Number of bins of the calibration error, as in the paper."""


@dataclass(frozen=True)
class Bin:
    """The images whose top probability is in one of `BINS` equal intervals.

    `confidence` is the mean top probability. `confidence` and `accuracy` are None for an empty bin.
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
        loss: mean cross entropy, in nats.
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


def measure(logits: np.ndarray, targets: np.ndarray, labels: tuple[str, ...]) -> ClassificationMetrics:
    """Return all metrics.

    Calibration error: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, 2017.

    Args:
        logits: float32 [N, K], finite, N at least 1.
        targets: int64 [N].
        labels: K class names.
    """
    probabilities = softmax(logits)
    answers = logits.argmax(axis=1)
    right = answers == targets
    classes = len(labels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (targets, answers), 1)
    bins = _bins(probabilities.max(axis=1), right)
    gaps = [each.images * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in bins]
    own = probabilities[np.arange(len(targets)), targets]
    return ClassificationMetrics(
        top1=rate(int(right.sum()), len(right)),
        top5=None if classes <= 5 else rate(_among_five(logits, targets), len(right)),
        loss=float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean()),
        calibration_error=sum(gaps) / len(right),
        bins=bins,
        per_class={
            name: rate(int(confusion[i, i]), int(confusion[i].sum())) for i, name in enumerate(distinct(labels))
        },
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _among_five(logits: np.ndarray, targets: np.ndarray) -> int:
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return int((best == targets[:, None]).any(axis=1).sum())


def _bins(confidences: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    places = np.minimum((confidences * BINS).astype(int), BINS - 1)
    found = []
    for number in range(BINS):
        inside = places == number
        count = int(inside.sum())
        mean = (float(confidences[inside].mean()), float(right[inside].mean())) if count else (None, None)
        found.append(Bin(count, *mean))
    return tuple(found)
