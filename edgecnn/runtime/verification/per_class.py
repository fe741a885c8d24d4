"""Compares two classifiers class by class, and names the worst class."""

from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from edgecnn.bundle.proof import ClassCounts, PerClass, WorstClass
from edgecnn.runtime.verification.paired import drop_of


def per_class(
    reference: np.ndarray, answers: np.ndarray, *, targets: np.ndarray | None, labels: Sequence[str]
) -> PerClass:
    """Compare the answers of a bundle with the reference's, for each class that has images.

    Answers are int64 [N]; for several labels bool [N, K], and each label is compared on all images. `targets` has the
    same shape; None to use the reference's answers. `labels` has K names.
    """
    truth = reference if targets is None else targets
    right, still_right, agreed = reference == truth, answers == truth, reference == answers
    whole = np.full(truth.shape, True)
    columns = [
        _counted(which, truth, len(labels)) for which in (whole, agreed, right & ~still_right, still_right & ~right)
    ]
    counts = [ClassCounts(*row) for row in zip(distinct(labels), *columns, strict=True)]
    found = tuple(each for each in counts if each.images)
    return PerClass(_worst(found), found)


def _counted(which: np.ndarray, truth: np.ndarray, classes: int) -> list[int]:
    """Return for each class how many of its decisions are true."""
    counts = which.sum(axis=0) if truth.ndim == 2 else np.bincount(truth[which], minlength=classes)
    return [int(count) for count in counts]


def distinct(labels: Sequence[str]) -> list[str]:
    """Return the class names, with their index where a name occurs twice, as in ImageNet."""
    counts = Counter(labels)
    return [label if counts[label] == 1 else f"{label} ({index})" for index, label in enumerate(labels)]


def _worst(classes: Sequence[ClassCounts]) -> WorstClass | None:
    """Return the class whose drop has the largest lower end of its interval; None if no class has a drop.

    The lower end and not the drop itself, because a class with few images often has a large drop by chance. The
    intervals hold for all classes at once: Dunn, Multiple Comparisons Among Means, 1961.
    """
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(classes)))
    worse = [
        WorstClass(each.label, each.agreed, drop_of(each.lost, each.won, each.images, z))
        for each in classes
        if each.lost > each.won
    ]
    return max(worse, key=lambda each: (each.drop.low, each.drop.drop), default=None)
