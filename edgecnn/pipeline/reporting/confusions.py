"""Which classes a classifier confuses: a matrix of few classes, or the most confused pairs of many."""

from dataclasses import dataclass

from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics

MOST_CLASSES = 20
"""Largest number of classes of a matrix. Of more classes, the most confused pairs are shown."""

MOST_PAIRS = 20


@dataclass(frozen=True)
class ConfusedPair:
    """A class whose images get another label.

    Attributes:
        target: the right class.
        answer: the label that its images get.
        images: number of these images.
        share: their share of the images of `target`.
    """

    target: str
    answer: str
    images: int
    share: float


def most_confused(metrics: ClassificationMetrics, most: int = MOST_PAIRS) -> tuple[ConfusedPair, ...]:
    """Return the pairs with the most images, the largest first."""
    labels = list(metrics.per_class)
    wrong = [
        (count, row, column)
        for row, counts in enumerate(metrics.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    wrong.sort(key=lambda each: (-each[0], each[1], each[2]))
    return tuple(
        ConfusedPair(labels[row], labels[column], count, count / sum(metrics.confusion[row]))
        for count, row, column in wrong[:most]
    )
