"""The answers of a classifier, from its logits and scores. Every comparison of two classifiers uses them.

An answer consists of decisions. A network with one label per image makes one decision: which label. A network with
several labels makes one decision for each label: whether the image has it.
"""

from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.prediction import least_logit, margins

NO_LABEL = "none"
"""The text of an answer without labels."""


def answers_of(logits: np.ndarray, scores: Scores = SOFTMAX) -> np.ndarray:
    """Return the answers for logits [N, K]: the label's index, int64 [N], or for several labels bool [N, K]."""
    answers: np.ndarray = logits >= least_logit(scores) if scores.multi_label else logits.argmax(axis=1)
    return answers


def decided(logits: np.ndarray, tolerance: float | np.ndarray, scores: Scores = SOFTMAX) -> np.ndarray:
    """Return which decisions have a margin above the tolerance, bool [N], or for several labels bool [N, K].

    `tolerance` is one number, or one for each image, [N].
    """
    certain: np.ndarray = np.greater(margins(logits, scores).T, tolerance).T
    return certain


def changed(
    expected: np.ndarray, logits: np.ndarray, tolerance: float | np.ndarray, scores: Scores = SOFTMAX
) -> np.ndarray:
    """Return for each image whether a decision differs whose margin in `expected` is above the tolerance; bool [N]."""
    differs = answers_of(logits, scores) != answers_of(expected, scores)
    decisions: np.ndarray = differs & decided(expected, tolerance, scores)
    return np.asarray(decisions.any(axis=_of_one_image(decisions)))


def same(answers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return for each image whether two answers, or an answer and a target, are equal in every decision; bool [N]."""
    return every(answers == others)


def every(decisions: np.ndarray) -> np.ndarray:
    """Return for each image whether all of its decisions are true; bool [N]."""
    return np.asarray(decisions.all(axis=_of_one_image(decisions)))


def named(answer: np.ndarray, labels: Sequence[str]) -> str:
    """Return one answer or target as text, such as `cat`, or for several labels `cat, dog`, or `none`."""
    if answer.ndim == 0:
        return labels[int(answer)]
    return ", ".join(labels[index] for index in np.flatnonzero(answer).tolist()) or NO_LABEL


def _of_one_image(decisions: np.ndarray) -> tuple[int, ...]:
    """Return the axes of the decisions about one image: none if there is one decision."""
    return tuple(range(1, decisions.ndim))
