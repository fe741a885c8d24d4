"""Agreement with the reference: counted, sure to a degree, and every flip listed."""

import numpy as np
import pytest

from edgecnn.runtime.verification.agreement import Agreement, agree, divergence

LABELS = ("cat", "dog", "owl")
REFERENCE = np.array([[3, 1, 0], [1, 3, 0], [2.5, 0, 2], [0, 1, 5], [4, 3, 0]], np.float32)
TARGETS = np.array([0, 1, 2, 2, 0])


def doctored() -> np.ndarray:
    """The reference's logits with images 2 (to its target) and 4 (from its target) answered otherwise."""
    logits = REFERENCE.copy()
    logits[2] = [2, 0, 2.25]
    logits[4] = [3, 5, 0]
    return logits


def agreed(logits: np.ndarray, targets: np.ndarray | None = TARGETS) -> Agreement:
    return agree(REFERENCE, logits, targets=targets, labels=LABELS, name_of=lambda index: f"image {index}")


def test_every_flip_is_listed_the_references_surest_answer_first():
    found = agreed(doctored())
    assert found.flipped == 2
    first, second = found.flips
    assert (first.image, first.index) == ("image 4", 4)
    assert (first.reference, first.answer, first.target) == ("cat", "dog", "cat")
    assert (first.reference_margin, first.margin) == (1.0, 2.0)
    assert (second.image, second.reference, second.answer, second.target) == ("image 2", "cat", "owl", "owl")
    assert (second.reference_margin, second.margin) == (0.5, 0.25)


def test_rates_drop_and_test_count_the_same_images():
    found = agreed(doctored())
    assert found.top1 is not None
    assert found.reference_top1 is not None
    assert found.drop is not None
    assert (found.reference_top1.right, found.top1.right, found.agreement.right) == (4, 4, 3)
    assert found.agreement.images == 5
    assert found.agreement.low < 0.6 < found.agreement.high
    assert (found.drop.lost, found.drop.won, found.drop.drop) == (1, 1, 0)
    assert found.mcnemar_p == 1


def test_the_reference_itself_agrees_throughout():
    found = agreed(REFERENCE)
    assert (found.flipped, found.flips, found.kl_nats, found.mcnemar_p) == (0, (), 0, 1)
    assert found.agreement.value == 1


def test_without_targets_nothing_is_said_of_right_and_wrong():
    found = agreed(doctored(), None)
    assert (found.top1, found.reference_top1, found.drop, found.mcnemar_p) == (None, None, None, None)
    assert [flip.target for flip in found.flips] == [None, None]
    assert found.agreement.right == 3


def test_a_limit_keeps_the_surest_flips_and_the_number_of_all():
    found = agreed(doctored()).limited(1)
    assert (found.flipped, [flip.index for flip in found.flips]) == (2, [4])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_have_no_margin_and_no_divergence(value: float):
    logits = doctored()
    logits[2, 1] = value
    found = agreed(logits)
    assert found.kl_nats is None
    assert [flip.margin for flip in found.flips] == [2.0, None]


def test_the_divergence_is_the_sum_over_classes():
    random = np.random.default_rng(0)
    reference, logits = random.normal(0, 3, (2, 50, 7)).astype(np.float32)
    p, q = (np.exp(np.float64(each)) / np.exp(np.float64(each)).sum(axis=1)[:, None] for each in (reference, logits))
    assert divergence(reference, logits) == pytest.approx(
        float(np.mean([sum(a * np.log(a / b)) for a, b in zip(p, q, strict=True)]))
    )
    assert divergence(reference, logits) != pytest.approx(divergence(logits, reference))


def test_the_divergence_of_huge_logits_is_finite():
    # The reference is sure of the first class, the other of the second: it costs the whole distance, 2000 nats.
    assert divergence(np.array([[1000, 0]], np.float32), np.array([[-1000, 1000]], np.float32)) == pytest.approx(2000)


def test_the_divergence_is_never_negative():
    logits = np.random.default_rng(1).normal(0, 5, (1000, 10)).astype(np.float32)
    found = divergence(logits, logits + np.float32(1e-6))
    assert found is not None
    assert 0 <= found < 1e-9
