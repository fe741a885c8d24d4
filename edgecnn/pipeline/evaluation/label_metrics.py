"""Metrics of a classifier with several labels per image: exact match, and each label on its own."""

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.pipeline.evaluation.metrics import Bin, binary_loss, calibration_bins, calibration_error
from edgecnn.prediction import sigmoid
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.verification.answers import answers_of, same
from edgecnn.runtime.verification.per_class import distinct


@dataclass(frozen=True)
class LabelMetrics:
    """The metrics of one label.

    Attributes:
        images: number of images that have the label.
        accuracy: rate of images for which the decision about this label is correct.
        precision: rate of correct decisions among the images that get the label.
        recall: rate of correct decisions among the images that have it.
        f1: harmonic mean of precision and recall; None if no image has or gets the label.
    """

    images: int
    accuracy: Rate
    precision: Rate
    recall: Rate
    f1: float | None


@dataclass(frozen=True)
class MultiLabelMetrics:
    """The metrics of a classifier with several labels on a split.

    Attributes:
        exact_match: rate of images for which all labels are correct.
        macro_f1: mean of the labels' F1; None if it is unknown for all of them.
        loss: mean binary cross entropy of all decisions, in nats.
        calibration_error: mean gap between probability and rate of the labels, over all decisions.
        bins: the bins of the calibration error, from low to high probability. They count decisions, not images.
        per_label: label to its metrics, in the order of the logits.
    """

    exact_match: Rate
    macro_f1: float | None
    loss: float
    calibration_error: float
    bins: tuple[Bin, ...]
    per_label: dict[str, LabelMetrics]


def measure_labels(
    logits: np.ndarray, targets: np.ndarray, labels: tuple[str, ...], scores: Scores
) -> MultiLabelMetrics:
    """Return all metrics.

    Args:
        logits: float32 [N, K], finite, N at least 1.
        targets: int64 [N, K] of 0 and 1.
        labels: K names.
        scores: with several labels per image.
    """
    answers, truth = answers_of(logits, scores), targets == 1
    right = same(answers, truth)
    bins = calibration_bins(sigmoid(logits).ravel(), truth.ravel())
    per_label = {name: _of_label(answers[:, index], truth[:, index]) for index, name in enumerate(distinct(labels))}
    known = [each.f1 for each in per_label.values() if each.f1 is not None]
    return MultiLabelMetrics(
        exact_match=rate(int(right.sum()), len(right)),
        macro_f1=fmean(known) if known else None,
        loss=binary_loss(logits, truth),
        calibration_error=calibration_error(bins),
        bins=bins,
        per_label=per_label,
    )


def _of_label(answers: np.ndarray, truth: np.ndarray) -> LabelMetrics:
    """Return the metrics of one label from the decisions, bool [N] both."""
    found, given, wanted = int((answers & truth).sum()), int(answers.sum()), int(truth.sum())
    return LabelMetrics(
        images=wanted,
        accuracy=rate(int((answers == truth).sum()), len(truth)),
        precision=rate(found, given),
        recall=rate(found, wanted),
        f1=2 * found / (given + wanted) if given + wanted else None,
    )
