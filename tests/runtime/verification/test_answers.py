"""Answers of logits: one label per image, or each label whose score reaches the threshold."""

import numpy as np
import pytest

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.prediction import margins, sigmoid
from edgecnn.runtime.verification.answers import answers_of, changed, every, named, same

SEVERAL = Scores("sigmoid", multi_label=True)
STRICTER = Scores("sigmoid", multi_label=True, threshold=0.9)
LOGITS = np.array([[2, -1, 0], [-3, -0.5, -1], [2.5, 3, 1]], np.float32)


def test_answers_with_the_largest_logit():
    assert answers_of(LOGITS).tolist() == [0, 1, 1]
    assert answers_of(LOGITS, Scores("sigmoid")).tolist() == [0, 1, 1]
    assert margins(LOGITS).tolist() == [2, 0.5, 0.5]


def test_answers_with_each_label_at_the_threshold():
    assert answers_of(LOGITS, SEVERAL).tolist() == [[True, False, True], [False] * 3, [True] * 3]
    assert answers_of(LOGITS, STRICTER).tolist() == [[False] * 3, [False] * 3, [True, True, False]]
    assert np.array_equal(answers_of(LOGITS, STRICTER), sigmoid(LOGITS) >= 0.9)
    assert margins(LOGITS, SEVERAL) == pytest.approx(np.abs(LOGITS))
    assert margins(LOGITS, STRICTER) == pytest.approx(np.abs(LOGITS - np.log(9)))


def test_takes_a_single_label():
    assert answers_of(np.array([[1], [-1]], np.float32), SEVERAL).tolist() == [[True], [False]]


def test_compares_whole_answers():
    one = answers_of(LOGITS, SEVERAL)
    other = one.copy()
    other[2, 0] = False
    assert same(one, other).tolist() == [True, True, False]
    assert same(one, one.astype(np.int64)).all()
    assert same(np.array([1, 2]), np.array([1, 0])).tolist() == [True, False]
    assert every(np.zeros((0, 3), bool)).shape == (0,)


@pytest.mark.parametrize(("scores", "expected"), [(SOFTMAX, [True, False, False]), (SEVERAL, [True, False, True])])
def test_finds_changes_of_decisions_beyond_the_tolerance(scores: Scores, expected: list[bool]):
    logits = np.array([[-2, -1, -0.2], [-3, -0.5, -1], [-2.5, 3, -1]], np.float32)
    assert changed(LOGITS, logits, 0.3, scores).tolist() == expected


def test_ignores_a_logit_next_to_the_threshold():
    expected = np.array([[3, 0.1]], np.float32)
    assert not changed(expected, np.array([[3, -0.1]], np.float32), 0.2, SEVERAL).any()
    assert changed(expected, np.array([[-3, 0.1]], np.float32), 0.2, SEVERAL).all()


def test_names_answers():
    labels = ("cat", "dog", "owl")
    assert named(answers_of(LOGITS)[0], labels) == "cat"
    assert [named(answer, labels) for answer in answers_of(LOGITS, SEVERAL)] == ["cat, owl", "none", "cat, dog, owl"]
