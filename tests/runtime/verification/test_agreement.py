"""Agreement with the reference: rates, intervals and flips."""

import numpy as np
import pytest

from edgecnn.bundle.manifest import Scores
from edgecnn.runtime.verification.agreement import Agreement, agree, divergence

LABELS = ("cat", "dog", "owl")
REFERENCE = np.array([[3, 1, 0], [1, 3, 0], [2.5, 0, 2], [0, 1, 5], [4, 3, 0]], np.float32)
TARGETS = np.array([0, 1, 2, 2, 0])


def doctored() -> np.ndarray:
    """Return the reference's logits, changed so that image 2 becomes correct and image 4 wrong."""
    logits = REFERENCE.copy()
    logits[2] = [2, 0, 2.25]
    logits[4] = [3, 5, 0]
    return logits


def agreed(logits: np.ndarray, targets: np.ndarray | None = TARGETS) -> Agreement:
    return agree(REFERENCE, logits, targets=targets, labels=LABELS, name_of=lambda index: f"image {index}")


def test_lists_flips_by_reference_margin():
    found = agreed(doctored())
    assert found.flipped == 2
    first, second = found.flips
    assert (first.image, first.index) == ("image 4", 4)
    assert (first.reference, first.answer, first.target) == ("cat", "dog", "cat")
    assert (first.reference_margin, first.margin) == (1.0, 2.0)
    assert (second.image, second.reference, second.answer, second.target) == ("image 2", "cat", "owl", "owl")
    assert (second.reference_margin, second.margin) == (0.5, 0.25)


def test_statistics_count_the_same_images():
    found = agreed(doctored())
    assert found.top1 is not None
    assert found.reference_top1 is not None
    assert found.drop is not None
    assert (found.reference_top1.right, found.top1.right, found.agreement.right) == (4, 4, 3)
    assert found.agreement.images == 5
    assert found.agreement.low < 0.6 < found.agreement.high
    assert (found.drop.lost, found.drop.won, found.drop.drop) == (1, 1, 0)
    assert found.mcnemar_p == 1


def test_the_reference_agrees_with_itself():
    found = agreed(REFERENCE)
    assert (found.flipped, found.flips, found.kl_nats, found.mcnemar_p) == (0, (), 0, 1)
    assert found.agreement.value == 1


def test_omits_accuracy_without_targets():
    found = agreed(doctored(), None)
    assert (found.top1, found.reference_top1, found.drop, found.mcnemar_p) == (None, None, None, None)
    assert [flip.target for flip in found.flips] == [None, None]
    assert found.agreement.right == 3


def test_limits_the_listed_flips():
    found = agreed(doctored()).limited(1)
    assert (found.flipped, [flip.index for flip in found.flips]) == (2, [4])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_accepts_logits_that_are_not_finite(value: float):
    logits = doctored()
    logits[2, 1] = value
    found = agreed(logits)
    assert found.kl_nats is None
    assert [flip.margin for flip in found.flips] == [2.0, None]


def test_divergence_matches_the_formula():
    random = np.random.default_rng(0)
    reference, logits = random.normal(0, 3, (2, 50, 7)).astype(np.float32)
    p, q = (np.exp(np.float64(each)) / np.exp(np.float64(each)).sum(axis=1)[:, None] for each in (reference, logits))
    assert divergence(reference, logits) == pytest.approx(
        float(np.mean([sum(a * np.log(a / b)) for a, b in zip(p, q, strict=True)]))
    )
    assert divergence(reference, logits) != pytest.approx(divergence(logits, reference))


def test_divergence_of_large_logits_is_finite():
    # With certainty of different classes, the divergence is the difference of the logits: 2000 nats.
    assert divergence(np.array([[1000, 0]], np.float32), np.array([[-1000, 1000]], np.float32)) == pytest.approx(2000)


def test_divergence_is_not_negative():
    logits = np.random.default_rng(1).normal(0, 5, (1000, 10)).astype(np.float32)
    found = divergence(logits, logits + np.float32(1e-6))
    assert found is not None
    assert 0 <= found < 1e-9


SEVERAL = Scores("sigmoid", multi_label=True)


def test_compares_sets_of_labels():
    reference = np.array([[3, 1, -4], [-1, -3, -2], [2.5, -2, 2], [-2, 1, 5]], np.float32)
    logits = reference.copy()
    logits[0, :2] = [-0.5, 0.25]
    logits[2, 0] = -1
    logits[3, 1] = -0.125
    targets = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]])
    found = agree(reference, logits, targets=targets, labels=LABELS, name_of=str, scores=SEVERAL)
    assert found.reference_top1 is not None
    assert found.top1 is not None
    assert found.drop is not None
    assert (found.reference_top1.right, found.top1.right, found.agreement.right) == (3, 2, 1)
    assert (found.drop.lost, found.drop.won) == (2, 1)
    assert [(each.image, each.reference, each.answer, each.target) for each in found.flips] == [
        ("0", "cat, dog", "dog", "cat, dog"),
        ("2", "cat, owl", "owl", "owl"),
        ("3", "dog, owl", "owl", "dog, owl"),
    ]
    assert [(each.reference_margin, each.margin) for each in found.flips] == [(3, 0.5), (2.5, 1), (1, 0.125)]
    assert found.per_class is not None
    assert [(each.lost, each.won) for each in found.per_class.classes] == [(1, 1), (1, 0), (0, 0)]


def test_an_answer_may_have_no_label():
    reference, logits = np.array([[1, -1, -1]], np.float32), np.array([[-1, -1, -1]], np.float32)
    (flip,) = agree(reference, logits, targets=None, labels=LABELS, name_of=str, scores=SEVERAL).flips
    assert (flip.reference, flip.answer, flip.target) == ("cat", "none", None)


def test_divergence_of_sigmoids_is_the_sum_over_labels():
    reference, logits = np.array([[1, -2]], np.float32), np.array([[0.5, -2]], np.float32)
    before, after = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-0.5))
    expected = before * np.log(before / after) + (1 - before) * np.log((1 - before) / (1 - after))
    assert divergence(reference, logits, SEVERAL) == pytest.approx(expected)
    assert divergence(reference, logits, Scores("sigmoid")) == pytest.approx(expected)
    huge = np.array([[1000, -1000]], np.float32)
    assert divergence(huge, -huge, SEVERAL) == pytest.approx(2000)
    assert divergence(huge, np.full((1, 2), np.nan, np.float32), SEVERAL) is None
