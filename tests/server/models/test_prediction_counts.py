"""Counts of predicted classes and confidences: equal to `prediction`, bounded, and safe for any label."""

import threading

import numpy as np
import pytest

from edgecnn.bundle.manifest import Scores
from edgecnn.prediction import prediction_of, probabilities_of
from edgecnn.server.models import prediction_counts
from edgecnn.server.models.prediction_counts import CONFIDENCES, MOST_CLASSES, NONE, OTHER, PredictionCounts

LABELS = [f"class {number}" for number in range(5)]
SEVERAL = Scores("sigmoid", multi_label=True, threshold=0.7)
RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("scores", [Scores(), Scores("sigmoid"), SEVERAL], ids=["softmax", "sigmoid", "several"])
@pytest.mark.parametrize("images", [1, 700])
def test_counts_what_predict_returns(images: int, scores: Scores):
    counts = PredictionCounts(LABELS, scores)
    logits = RANDOM.normal(0, 3, (3 * images, 5)).astype(np.float32)
    for part in np.split(logits, 3):
        counts.add(part)
    expected = [prediction_of(row, LABELS, top=1, scores=scores) for row in logits]
    found = counts.classes()
    for label in LABELS:
        assert found[label] == sum(label in each.labels for each in expected)
    assert found[NONE] == sum(not each.labels for each in expected)
    buckets, total = counts.confidences()
    best = probabilities_of(logits, scores).max(axis=1)
    assert buckets == [int((best <= bound).sum()) for bound in CONFIDENCES]
    assert total == pytest.approx(best.sum())


def test_leaves_out_logits_that_are_not_finite():
    counts = PredictionCounts(LABELS, Scores())
    counts.add(np.array([[np.nan] * 5, [np.inf] * 5, [1, 0, 0, 0, 0]], np.float32))
    assert (counts.classes().total(), counts.confidences()[0][-1]) == (1, 1)


def test_has_a_bounded_number_of_classes():
    classes = 3 * MOST_CLASSES
    counts = PredictionCounts([str(number) for number in range(classes)], Scores())
    assert counts.classes() == {OTHER: 0}
    for wanted in (range(50, 60), range(classes), range(classes)):
        counts.add(np.eye(classes, dtype=np.float32)[list(wanted)])
        before = counts.classes()
        assert len(before) <= MOST_CLASSES + 1
    assert before["55"] == 3
    assert before[OTHER] == 2 * (classes - MOST_CLASSES)
    assert before.total() == 10 + 2 * classes


def test_shows_any_label():
    counts = PredictionCounts(["crane", "crane", "\ud800 x", "y" * 1000], Scores())
    counts.add(np.eye(4, dtype=np.float32))
    assert counts.classes() == {"crane": 2, "\\ud800 x": 1, "y" * 100: 1}


def test_keeps_few_logits():
    counts = PredictionCounts(LABELS, Scores())
    for _ in range(2000):
        counts.add(np.zeros((1, 5), np.float32))
        assert sum(map(len, counts._kept)) * 5 <= prediction_counts._KEPT_NUMBERS
    assert counts.classes()["class 0"] == 2000


def test_counts_in_several_threads():
    counts = PredictionCounts(LABELS, Scores())

    def add() -> None:
        for _ in range(500):
            counts.add(np.zeros((3, 5), np.float32))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counts.classes()
    assert counts.classes().total() == 6000
