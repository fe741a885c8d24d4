"""Scores and labels of classifier heads: softmax, one sigmoid, several labels."""

from typing import Any

import pytest

from edgecnn.bundle.manifest import Scores
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.importing.heads import labels_of, scores_of
from edgecnn.pipeline.importing.options import WeightsOptions


@pytest.mark.parametrize(
    ("options", "outputs", "expected"),
    [
        ({}, 3, Scores()),
        ({"scores": "softmax"}, 3, Scores()),
        ({"scores": "logits"}, 3, Scores()),
        ({}, 1, Scores()),
        ({"scores": "sigmoid"}, 1, Scores()),
        ({"scores": "sigmoid"}, 3, Scores("sigmoid")),
        ({"scores": "multi-label"}, 3, Scores("sigmoid", multi_label=True)),
        ({"scores": "multi-label", "threshold": 0.3}, 1, Scores("sigmoid", multi_label=True, threshold=0.3)),
    ],
)
def test_scores(options: dict[str, Any], outputs: int, expected: Scores):
    assert scores_of(WeightsOptions(**options), outputs) == expected


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threshold": 0.3}, "--threshold is for --scores multi-label"),
        ({"threshold": 1.0, "scores": "multi-label"}, "between 0 and 1, found 1"),
        ({"threshold": float("nan"), "scores": "multi-label"}, "between 0 and 1, found nan"),
        ({"scores": "softmax"}, "the softmax of one output is always 1"),
    ],
)
def test_refuses_scores_that_do_not_fit(options: dict[str, Any], named: str):
    with pytest.raises(UsageError, match=named):
        scores_of(WeightsOptions(**options), 1)


@pytest.mark.parametrize(
    ("options", "outputs", "expected"),
    [
        ({}, 3, ("0", "1", "2")),
        ({}, 1, ("0", "1")),
        ({"labels": ("cat",)}, 1, ("not cat", "cat")),
        ({"labels": ("dog", "cat")}, 1, ("dog", "cat")),
        ({"labels": ("cat",), "scores": "multi-label"}, 1, ("cat",)),
        ({"scores": "multi-label"}, 1, ("0",)),
    ],
)
def test_labels(options: dict[str, Any], outputs: int, expected: tuple[str, ...]):
    assert labels_of(WeightsOptions(**options), outputs, "net.pth") == expected


def test_refuses_labels_that_do_not_fit():
    with pytest.raises(UsageError, match=r"--labels has 3 names, net\.pth has 2 classes"):
        labels_of(WeightsOptions(labels=("a", "b", "c")), 1, "net.pth")
    with pytest.raises(CheckpointError, match="no class"):
        labels_of(WeightsOptions(), 0, "net.pth")
