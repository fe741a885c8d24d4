"""Tensors of every datatype, and requests that contain them."""

import json
from typing import Any

import numpy as np
import pytest

from oip_conformance.answer import Answer
from oip_conformance.connection import Client, parse_url
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.inferred import inferred
from oip_conformance.subject import Subject
from oip_conformance.tensors import DTYPES, TensorSpec, from_json, from_raw, to_json, to_raw


def subject(*inputs: TensorSpec) -> Subject:
    client = Client(parse_url("http://127.0.0.1:9"))
    return Subject(client, "", frozenset(), "m", "1", inputs, (TensorSpec("y", "FP32", (-1, 2)),))


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (-1, 4), (2, -1, 3)])
def test_raw_round_trip(datatype: str, shape: tuple[int, ...]):
    spec = TensorSpec("x", datatype, shape)
    array = spec.sample()
    assert array.shape == spec.sized() == tuple(abs(size) for size in shape)
    assert (from_raw(datatype, array.shape, to_raw(array), name="x") == array).all()


@pytest.mark.parametrize("datatype", sorted(set(DTYPES) - {"FP16", "BF16"}))
def test_json_round_trip(datatype: str):
    array = TensorSpec("x", datatype, (-1, 4)).sample(batch=2)
    data = json.loads(json.dumps(to_json(array)))
    assert (from_json(datatype, (2, 4), data, name="x") == array).all()
    assert (array[0] == array[1]).all()


def test_request_contains_all_inputs():
    document = subject(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "BYTES", (1,))).document()
    assert [(each["name"], each["shape"], each["data"]) for each in document["inputs"]] == [
        ("a", [1, 2], [1.0, 0.0]),
        ("b", [1], ["a"]),
    ]


def test_sends_fp16_raw_only():
    halves = subject(TensorSpec("a", "FP16", (-1, 2)))
    with pytest.raises(NotApplicable, match="FP16"):
        halves.document()
    assert halves.binary_document()["inputs"][0]["parameters"] == {"binary_data_size": 4}
    assert len(halves.raw()) == 4


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"data": [1.0]}, "2 elements"),
        ({"data": ["a", "b"]}, "FP32 elements"),
        ({"data": None}, "2 elements"),
        ({"shape": [-1]}, "non-negative"),
        ({"shape": [2.0]}, "non-negative"),
        ({"datatype": "float32"}, "datatype of the protocol"),
        ({"parameters": {"binary_data_size": 8}}, "data or binary_data_size"),
    ],
)
def test_rejects_contradictory_output(change: dict[str, Any], found: str):
    output = {"name": "y", "datatype": "FP32", "shape": [2], "data": [1, 2.5]}
    good = Answer(200, {}, json.dumps({"model_name": "m", "outputs": [output]}).encode())
    assert inferred(good).outputs["y"].values.tolist() == [1.0, 2.5]
    bad = Answer(200, {}, json.dumps({"model_name": "m", "outputs": [output | change]}).encode())
    with pytest.raises(Deviation, match=found):
        inferred(bad)


def test_rejects_nan_in_json():
    body = b'{"model_name": "m", "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [NaN]}]}'
    with pytest.raises(Deviation, match="valid JSON"):
        inferred(Answer(200, {}, body))


def test_rejects_truncated_raw_elements():
    with pytest.raises(Deviation, match="4 bytes of length"):
        from_raw("BYTES", (1,), b"\x05\0\0\0abc", name="y")
    assert from_raw("BYTES", (2,), b"\x01\0\0\0a\0\0\0\0", name="y").tolist() == [b"a", b""]
    assert np.array_equal(from_raw("BOOL", (2,), b"\1\0", name="y"), [True, False])
