"""The most confused pairs of classes."""

import numpy as np
from reported import random_metrics

from edgecnn.pipeline.evaluation.metrics import measure
from edgecnn.pipeline.reporting.confusions import ConfusedPair, most_confused


def test_lists_the_largest_first():
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    answers = np.array([1, 1, 0, 2, 0, 1, 2])
    metrics = measure(np.eye(3, dtype=np.float32)[answers], targets, ("a", "b", "c"))
    expected = (ConfusedPair("a", "b", 2, 0.5), ConfusedPair("a", "c", 1, 0.25), ConfusedPair("b", "a", 1, 0.5))
    assert most_confused(metrics) == expected
    assert most_confused(metrics, 1) == expected[:1]


def test_lists_nothing_if_every_answer_is_right():
    assert most_confused(measure(np.eye(3, dtype=np.float32), np.arange(3), ("a", "b", "c"))) == ()


def test_limits_the_pairs_of_many_classes():
    found = most_confused(random_metrics([f"class {number}" for number in range(1000)], images=3000))
    assert len(found) == 20
    assert found[0].images >= found[-1].images >= 1
