"""Metrics, compared with scikit-learn and PyTorch."""

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs

from edgecnn.bundle.manifest import Scores
from edgecnn.pipeline.evaluation.metrics import BINS, measure

LABELS = tuple("abcdefgh")


def sample(count: int = 500, classes: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, count)
    logits = rng.normal(0, 1.5, (count, classes)).astype(np.float32)
    logits[np.arange(count), targets] += 2
    return logits, targets


def test_matches_scikit_learn_and_pytorch():
    logits, targets = sample()
    found = measure(logits, targets, LABELS)
    answers = logits.argmax(axis=1)
    assert found.top1.value == theirs.accuracy_score(targets, answers)
    assert found.top5 is not None
    assert found.top5.value == theirs.top_k_accuracy_score(targets, logits, k=5)
    assert np.array_equal(found.confusion, theirs.confusion_matrix(targets, answers))
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert found.loss == pytest.approx(float(loss), rel=1e-6)
    recalls = theirs.recall_score(targets, answers, average=None)
    assert [each.value for each in found.per_class.values()] == pytest.approx(list(recalls))


def test_omits_top5_for_few_classes():
    logits, targets = sample(classes=5)
    assert measure(logits, targets, LABELS[:5]).top5 is None


def test_calibration_error_detects_overconfidence():
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.5, 1, 200_000)
    logits = np.stack([np.log(sure), np.log(1 - sure)], axis=1).astype(np.float32)
    honest = (rng.uniform(size=len(sure)) > sure).astype(np.int64)  # class 0 is right with probability `sure`
    assert measure(logits, honest, ("a", "b")).calibration_error < 0.005
    coin = rng.integers(0, 2, len(sure))
    assert measure(logits * 50, coin, ("a", "b")).calibration_error == pytest.approx(0.5, abs=0.03)


def test_calibration_error_is_the_mean_bin_gap():
    logits, targets = sample()
    found = measure(logits, targets, LABELS)
    assert len(found.bins) == BINS
    assert sum(each.images for each in found.bins) == len(logits)
    gaps = [each.images * abs((each.confidence or 0) - (each.accuracy or 0)) for each in found.bins]
    assert found.calibration_error == pytest.approx(sum(gaps) / len(logits))


def test_huge_logits_do_not_overflow():
    found = measure(np.array([[1e30, -1e30], [-1e30, 1e30]], np.float32), np.array([0, 0]), ("a", "b"))
    assert found.top1.value == 0.5
    assert np.isfinite(found.loss)


def test_sigmoids_with_one_label():
    logits, targets = sample()
    found = measure(logits, targets, LABELS, Scores("sigmoid"))
    softmax = measure(logits, targets, LABELS)
    assert (found.top1, found.confusion) == (softmax.top1, softmax.confusion)
    wanted = torch.nn.functional.one_hot(torch.from_numpy(targets), len(LABELS)).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), wanted)
    assert found.loss == pytest.approx(float(loss), rel=1e-6)
    best = 1 / (1 + np.exp(-logits.max(axis=1).astype(np.float64)))
    assert sum(each.images * (each.confidence or 0) for each in found.bins) == pytest.approx(best.sum())
