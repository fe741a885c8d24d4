"""Outputs that a request selects: logits, probabilities, or both."""

from typing import Any

import numpy as np
import pytest

from edgecnn.protocol.classification import classify
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.matching import PROBABILITIES, outputs_of
from edgecnn.protocol.refusal import Refusal

LOGITS = {"logits": TensorSpec("logits", "FP32", (-1, 10))}
NAMED = {PROBABILITIES: TensorSpec(PROBABILITIES, "FP32", (-1, 10))}
SEVERAL = LOGITS | {"other": TensorSpec("other", "FP32", (-1, 2))}


def selected(
    document: dict[str, Any], outputs: dict[str, TensorSpec], *, default: bool = False
) -> list[tuple[str, bool]]:
    found = outputs_of(document, outputs, always_binary=False, probabilities=default)
    return [(each.name, each.is_probability) for each in found]


def asking(value: object, *names: str) -> dict[str, Any]:
    return {"parameters": {PROBABILITIES: value}, "outputs": [{"name": name} for name in names]}


@pytest.mark.parametrize(
    ("document", "default", "expected"),
    [
        ({}, False, [("logits", False)]),
        ({}, True, [(PROBABILITIES, True)]),
        (asking(True), False, [(PROBABILITIES, True)]),
        (asking(False), True, [("logits", False)]),
        (asking(True, "logits"), False, [("logits", True)]),
        (asking(False, "logits", PROBABILITIES), False, [("logits", False), (PROBABILITIES, True)]),
        (asking(True, PROBABILITIES, "logits"), False, [(PROBABILITIES, True), ("logits", True)]),
    ],
)
def test_selects_probabilities(document: dict[str, Any], default: bool, expected: list[tuple[str, bool]]):
    assert selected(document, LOGITS, default=default) == expected


@pytest.mark.parametrize("names", [(), (PROBABILITIES,)])
@pytest.mark.parametrize("value", [False, True])
def test_the_parameter_decides_for_an_output_of_the_same_name(value: bool, names: tuple[str, ...]):
    assert selected(asking(value, *names), NAMED) == [(PROBABILITIES, value)]


@pytest.mark.parametrize(
    ("document", "outputs", "error"),
    [
        (asking(1), LOGITS, "request: expected true or false as probabilities, found 1"),
        (asking(None), LOGITS, "request: expected true or false as probabilities, found null"),
        (asking(True, PROBABILITIES, PROBABILITIES), LOGITS, "output 'probabilities' is requested twice"),
        (
            asking(True),
            SEVERAL,
            "request: probabilities needs a model with one output; the model returns 'logits', 'other'",
        ),
        (asking(False, PROBABILITIES), SEVERAL, "unexpected output 'probabilities'; model returns 'logits', 'other'"),
    ],
)
def test_refuses_what_has_no_probabilities(document: dict[str, Any], outputs: dict[str, TensorSpec], error: str):
    with pytest.raises(Refusal) as caught:
        selected(document, outputs)
    assert (caught.value.reason, str(caught.value)) == ("invalid", error)


def test_ranks_equal_probabilities_by_their_logits():
    logits = np.array([[40.0, 60.0, 50.0]], np.float32)
    probabilities = np.ones((1, 3), np.float32)  # as a sigmoid returns
    best = classify(probabilities, classes=2, labels="abc", ranking=logits)
    assert best == [["1.000000:1:b", "1.000000:2:c"]]
