"""Predictions from logits, with each kind of scores."""

import dataclasses

import numpy as np
import pytest

from edgecnn.bundle.manifest import Scores
from edgecnn.prediction import prediction_of, probabilities_of, sigmoid

LABELS = ("cat", "dog", "owl")
LOGITS = np.array([-1, 2, 0.5], np.float32)


def test_softmax_has_one_label():
    found = prediction_of(LOGITS, LABELS, top=2)
    assert (found.label, found.index, found.labels) == ("dog", 1, ("dog",))
    assert sum(probabilities_of(LOGITS, Scores())) == pytest.approx(1)
    assert found.top == (("dog", found.probability), ("owl", pytest.approx(0.175, abs=0.001)))


def test_one_sigmoid_equals_two_logits():
    found = prediction_of(np.array([0, 1.5], np.float32), ("no", "yes"), top=2)
    assert found.label == "yes"
    assert found.probability == pytest.approx(1 / (1 + np.exp(-1.5)))


def test_sigmoids_with_one_label_do_not_sum_to_one():
    found = prediction_of(LOGITS, LABELS, top=1, scores=Scores("sigmoid"))
    assert (found.label, found.labels) == ("dog", ("dog",))
    assert found.probability == pytest.approx(1 / (1 + np.exp(-2)))


def test_several_labels_reach_the_threshold():
    found = prediction_of(LOGITS, LABELS, top=1, scores=Scores("sigmoid", multi_label=True))
    assert (found.label, found.labels) == ("dog", ("dog", "owl"))
    assert [label for label, _ in found.top] == ["dog"]
    stricter = prediction_of(LOGITS, LABELS, top=1, scores=Scores("sigmoid", multi_label=True, threshold=0.7))
    assert stricter.labels == ("dog",)


@pytest.mark.parametrize(
    ("scores", "margin"), [(Scores(), 1.5), (Scores("sigmoid"), 1.5), (Scores("sigmoid", multi_label=True), 0.5)]
)
def test_an_answer_is_unsure_below_the_margin(scores: Scores, margin: float):
    for least, unsure in ((None, False), (0.0, False), (margin, False), (margin + 0.001, True)):
        given = dataclasses.replace(scores, unsure_margin=least)
        assert prediction_of(LOGITS, LABELS, top=1, scores=given).unsure == unsure


def test_the_most_probable_label_may_be_below_the_threshold():
    found = prediction_of(LOGITS, LABELS, top=3, scores=Scores("sigmoid", multi_label=True, threshold=0.99))
    assert found.labels == ()
    assert (found.label, found.index) == ("dog", 1)


def test_a_label_alone():
    found = prediction_of(np.array([0], np.float32), ("cat",), top=5, scores=Scores("sigmoid", multi_label=True))
    assert (found.label, found.probability, found.labels) == ("cat", 0.5, ("cat",))


def test_huge_logits_do_not_overflow():
    assert sigmoid(np.array([-1e30, -800, 0, 1e30], np.float32)).tolist() == [0, 0, 0.5, 1]


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.0}, {"threshold": float("nan")}])
def test_rejects_a_threshold_out_of_range(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        Scores("sigmoid", multi_label=True, **wrong)


def test_rejects_a_threshold_of_one_label():
    with pytest.raises(ValueError, match="threshold requires multi_label"):
        Scores("sigmoid", threshold=0.3)
