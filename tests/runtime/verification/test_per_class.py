"""Figures per class: counts, and the choice of the worst class."""

import numpy as np
import pytest

from edgecnn.bundle.proof import PerClass
from edgecnn.runtime.verification.per_class import distinct, per_class

LABELS = ("cat", "dog", "owl")


def compared(*, images: tuple[int, ...], lost: tuple[int, ...], won: tuple[int, ...] | None = None) -> PerClass:
    """Compare answers with these numbers of images, lost answers and won answers in each class."""
    targets = np.repeat(np.arange(len(images)), images)
    reference, answers = targets.copy(), targets.copy()
    wrong = (targets + 1) % len(images)
    starts = np.cumsum((0, *images[:-1]))
    for start, losses, wins in zip(starts, lost, won or [0] * len(images), strict=True):
        answers[start : start + losses] = wrong[start : start + losses]
        reference[start + losses : start + losses + wins] = wrong[start + losses : start + losses + wins]
    return per_class(reference, answers, targets=targets, labels=[str(index) for index in range(len(images))])


def test_counts_every_class():
    targets, reference = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    found = per_class(reference, np.array([0, 0, 1, 2, 2]), targets=targets, labels=LABELS)
    rows = [(each.label, each.images, each.agreed, each.lost, each.won) for each in found.classes]
    assert rows == [("cat", 2, 1, 0, 1), ("dog", 2, 1, 1, 0), ("owl", 1, 1, 0, 0)]
    assert found.worst is not None
    assert (found.worst.label, found.worst.agreed, found.worst.drop.images) == ("dog", 1, 2)


def test_finds_a_fault_of_one_class():
    found = compared(images=(100,) * 10, lost=(0, 1, 0, 1, 0, 2, 1, 20, 0, 1), won=(1, 0, 0, 1, 0, 0, 1, 0, 0, 0))
    assert found.worst is not None
    assert found.worst.label == "7"
    assert found.worst.drop.drop == pytest.approx(0.2)
    assert found.worst.drop.low > 0.05


def test_few_images_are_no_evidence():
    # Half of the images of class 0 are lost, but it has only two.
    found = compared(images=(2, 500, 500), lost=(1, 40, 2))
    assert found.worst is not None
    assert found.worst.label == "1"


def test_few_images_with_a_clear_fault_are_evidence():
    found = compared(images=(12, 500, 500), lost=(12, 10, 2))
    assert found.worst is not None
    assert found.worst.label == "0"


@pytest.mark.parametrize("lost", [(0, 0, 0), (1, 2, 3)])
def test_no_class_is_the_worst_without_a_drop(lost: tuple[int, ...]):
    found = compared(images=(50, 50, 50), lost=lost, won=lost)
    assert found.worst is None


def test_noise_rarely_looks_like_a_fault():
    """With equal rates of lost and won answers in 100 classes, the interval of the worst one seldom excludes zero."""
    random = np.random.default_rng(0)
    false = 0
    for _ in range(100):
        lost, won = (tuple(map(int, random.binomial(50, 0.03, 100))) for _ in range(2))
        worst = compared(images=(50,) * 100, lost=lost, won=won).worst
        false += worst is not None and worst.drop.low > 0
    assert false <= 5


def test_uses_the_reference_without_targets():
    found = per_class(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), targets=None, labels=LABELS)
    assert [(each.label, each.images, each.agreed, each.lost, each.won) for each in found.classes] == [
        ("cat", 2, 1, 1, 0),
        ("dog", 2, 2, 0, 0),
    ]


def test_keeps_the_classes_that_differ():
    found = compared(images=(30, 30, 30), lost=(0, 4, 0))
    assert [each.label for each in found.differing().classes] == ["1"]
    assert found.differing().worst == found.worst


def test_labels_are_distinct():
    assert distinct(("crane", "crate", "crane")) == ["crane (0)", "crate", "crane (2)"]


def test_counts_every_label_of_each_image():
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]])
    reference = targets.astype(bool)
    reference[3, 1] = False
    answers = targets.astype(bool)
    answers[:2, 0] = False
    found = per_class(reference, answers, targets=targets, labels=LABELS)
    rows = [(each.label, each.images, each.agreed, each.lost, each.won) for each in found.classes]
    assert rows == [("cat", 4, 2, 2, 0), ("dog", 4, 3, 0, 1), ("owl", 4, 4, 0, 0)]
    assert found.worst is not None
    assert (found.worst.label, found.worst.drop.drop) == ("cat", 0.5)
    unknown = per_class(reference, answers, targets=None, labels=LABELS)
    assert [(each.agreed, each.lost, each.won) for each in unknown.classes] == [(2, 2, 0), (3, 1, 0), (4, 0, 0)]
