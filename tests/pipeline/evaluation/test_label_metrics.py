"""Metrics of several labels, compared with scikit-learn and PyTorch."""

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs

from edgecnn.bundle.manifest import Scores
from edgecnn.pipeline.evaluation.label_metrics import measure_labels

LABELS = tuple("abcd")
SEVERAL = Scores("sigmoid", multi_label=True, threshold=0.4)


def sample(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = (rng.random((count, len(LABELS))) < (0.5, 0.3, 0.1, 0.6)).astype(np.int64)
    logits = (rng.normal(0, 1.5, targets.shape) + 3 * targets - 1.5).astype(np.float32)
    return logits, targets


def test_matches_scikit_learn_and_pytorch():
    logits, targets = sample()
    found = measure_labels(logits, targets, LABELS, SEVERAL)
    answers = 1 / (1 + np.exp(-logits)) >= 0.4
    assert found.exact_match.value == theirs.accuracy_score(targets, answers)
    assert found.macro_f1 == pytest.approx(theirs.f1_score(targets, answers, average="macro"))
    assert list(found.per_label) == list(LABELS)
    columns = {
        "precision": theirs.precision_score(targets, answers, average=None),
        "recall": theirs.recall_score(targets, answers, average=None),
        "accuracy": (targets == answers).mean(axis=0),
    }
    for name, expected in columns.items():
        assert [getattr(each, name).value for each in found.per_label.values()] == pytest.approx(list(expected))
    assert [each.f1 for each in found.per_label.values()] == pytest.approx(
        list(theirs.f1_score(targets, answers, average=None))
    )
    assert [each.images for each in found.per_label.values()] == targets.sum(axis=0).tolist()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(targets).float()
    )
    assert found.loss == pytest.approx(float(loss), rel=1e-6)


def test_bins_count_decisions():
    logits, targets = sample()
    found = measure_labels(logits, targets, LABELS, SEVERAL)
    assert sum(each.images for each in found.bins) == targets.size
    assert sum(each.images * (each.accuracy or 0) for each in found.bins) == pytest.approx(targets.sum())
    fair = np.zeros((1000, 1), np.float32)
    even = np.arange(1000)[:, None] % 2
    assert measure_labels(fair, even, ("a",), SEVERAL).calibration_error == 0


def test_a_label_without_images_has_no_f1():
    found = measure_labels(np.full((3, 2), -1, np.float32), np.array([[1, 0]] * 3), ("a", "b"), SEVERAL)
    assert found.per_label["b"].f1 is None
    assert found.per_label["b"].recall.value is None
    assert (found.per_label["a"].f1, found.macro_f1) == (0, 0)
