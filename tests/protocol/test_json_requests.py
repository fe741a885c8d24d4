"""Requests in JSON: valid and invalid fields and data (rows 1 to 25 of the table of faults, for the codec)."""

import json
from typing import Any

import numpy as np
import pytest
from protocol_models import IMAGES, LOGITS, ask, image, one, send, values

from edgecnn.protocol import matching
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import parse


def refused(message: str) -> Any:
    return pytest.raises(Refusal, match=message)


def test_reads_nested_and_flat_data():
    nested = ask({"inputs": [image(data=[[[[1], [2]], [[3], [4]]]])]})
    assert np.array_equal(values(nested, "image"), values(ask({"inputs": [image()]}), "image"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "request body is empty"),
        (b"hello", "invalid JSON at byte 0"),
        (b'{"inputs": \xc3\xa9}', "invalid JSON at byte 11"),
        (b'{"\xc3\xa9": x}', "invalid JSON at byte 7"),
        (b"[1]", "must be a JSON object, found a list of 1"),
        (b"7", "must be a JSON object, found 7"),
        (b'"x"', "must be a JSON object, found 'x'"),
        (b"null", "must be a JSON object, found null"),
        (b'{"id": "\xff"}', "invalid JSON"),
        (b'{"id": "\\ud800"}', "invalid JSON"),
        (b'{"inputs": [{"data": [NaN]}]}', "invalid JSON"),
        (b'{"inputs": [{"data": [-Infinity]}]}', "invalid JSON"),
        (b'{"inputs": [{"data": [1e400]}]}', "invalid JSON"),
        (b"{} {}", "invalid JSON"),
        (b"[" * 250_000, "nesting deeper than 1024"),
        (b'{"a":' * 250_000, "nesting deeper than 1024"),
    ],
)
def test_rejects_other_bodies_than_json_objects(body: bytes, message: str):
    with refused(message) as caught:
        send(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "inputs: expected a list of at least one, found none"),
        ({"inputs": []}, "inputs: expected a list of at least one, found a list of 0"),
        ({"inputs": None}, "inputs: .* found null"),
        ({"inputs": {}}, "inputs: .* found an object"),
        ({"inputs": [5]}, "inputs: expected a list of objects, found 5 in it"),
        ({"inputs": [image(name=...)]}, "inputs: expected a string as name, found null"),
        ({"inputs": [image(name=["image"])]}, "inputs: expected a string as name, found a list of 1"),
        ({"inputs": [image(datatype="FLOAT")]}, r"expected UINT8 \[-1,2,2,1\] or BYTES \[-1\], found the .* 'FLOAT'"),
        ({"inputs": [image(datatype=...)]}, "found the datatype null"),
        ({"inputs": [image(datatype=[])]}, "found the datatype a list of 0"),
        ({"inputs": [image(datatype="INT32")]}, r"expected UINT8 .*, found INT32 \[1,2,2,1\]"),
        ({"inputs": [image(datatype="BF16")]}, r"found BF16 \[1,2,2,1\]"),
        ({"inputs": [image(data=...)]}, "expected data or binary_data_size, found neither"),
        ({"inputs": [image(data=None)]}, "expected a list as data, found null"),
        ({"inputs": [image(data="1234")]}, "expected a list as data, found '1234'"),
        ({"inputs": [image(data=[[[[1], [2]], [[3], [4]]]] * 2)]}, "expected 1 lists along axis 0, found 2"),
        ({"inputs": [image(data=[[[[1], [2], [3]], [[4]]]])]}, "expected 2 elements along axis 2, found 3"),
        ({"inputs": [image(data=[[[1, 2], [3, 4]]])]}, "expected lists along axis 3, found 1"),
        ({"inputs": [image(data=[[[[[1]], [[2]]], [[[3]], [[4]]]]])]}, "expected integers .* found a list of 1"),
        ({"inputs": [image(data=[1, 2, 3, [4]])]}, "found a list of 1"),
        ({"inputs": [image(data=[1, 2, 3, "4"])]}, "expected integers .*, found '4'"),
        ({"inputs": [image(data=[1, 2, 3, None])]}, "expected integers .*, found null"),
        ({"inputs": [image(data=[1, 2, 3, {}])]}, "expected integers .*, found an object"),
        ({"inputs": [image(data=[1, 2, 3, True])]}, "expected integers .*, found true"),
        ({"inputs": [image(data=[1, 2, 3, 4.0])]}, "expected integers .*, found 4.0"),
        ({"inputs": [image(data=[1, 2, 3, 300])]}, "300 is out of range for UINT8"),
        ({"inputs": [image(data=[1, 2, 3, -1])]}, "-1 is out of range for UINT8"),
        ({"inputs": [image()], "parameters": 5}, "request: expected an object as parameters, found 5"),
        ({"inputs": [image()], "parameters": None}, "request: expected an object as parameters, found null"),
        ({"inputs": [image(parameters=[])]}, "input: expected an object as parameters, found a list of 0"),
        ({"inputs": [image()], "parameters": {"timeout": "x"}}, "integer of at least 0 as timeout, found 'x'"),
        ({"inputs": [image()], "parameters": {"timeout": True}}, "integer of at least 0 as timeout, found true"),
        ({"inputs": [image()], "parameters": {"timeout": 2**70}}, "integer of at least 0 as timeout"),
        ({"inputs": [image()], "parameters": {"binary_data_output": 1}}, "true or false as binary_data_output"),
        ({"inputs": [image()], "id": 5}, "id: expected a string, found 5"),
        ({"inputs": [image()], "id": None}, "id: expected a string, found null"),
        ({"inputs": [image()], "id": "x" * 1_000_000}, "id: expected at most 256 characters, found 1000000"),
        ({"inputs": [image()], "outputs": {}}, "outputs: expected a list, found an object"),
        ({"inputs": [image()], "outputs": None}, "outputs: expected a list, found null"),
        ({"inputs": [image()], "outputs": ["logits"]}, "outputs: expected a list of objects, found 'logits' in it"),
    ],
)
def test_names_the_fault_of_a_request(request_: dict[str, Any], message: str):
    with refused(message) as caught:
        ask(request_)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "shape",
    [
        [1, 1, 2, 2, 1], [1.0, 2, 2, 1], ["1", 2, 2, 1],
        [True, 2, 2, 1], [None, 2, 2, 1], [[1], 2, 2, 1], [1_000_000_000, 2, 2, 1], [2**63, 2, 2, 1],
        [2**70, 2, 2, 1], [1, 2, 2, True], [1] * 100_000, ["\r\n" * 100] * 4, "1", 4, None, {},
    ],
)  # fmt: skip
def test_rejects_a_shape_of_another_model(shape: Any):
    with refused("input 'image': expected") as caught:
        ask({"inputs": [image(shape=shape)]})
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("INT64", [2**70], "expected integers of at most 64 bits"),
        ("INT64", [2**63], "9223372036854775808 is out of range for INT64"),
        ("UINT64", [2**64], "expected integers of at most 64 bits"),
        ("UINT64", [-1], "-1 is out of range for UINT64"),
        ("INT32", [1.5], "found 1.5"),
        ("INT32", [2**31], "2147483648 is out of range for INT32"),
        ("FP32", [1e39], r"1e\+39 is out of range for FP32"),
        ("FP32", [True], "expected numbers as data, found true"),
        ("FP64", ["1"], "expected numbers as data, found '1'"),
        ("FP16", [1], "FP16 needs binary data"),
        ("BOOL", [2], "expected true, false, 0 or 1 as data, found 2"),
        ("BOOL", [1.0], "expected true, false, 0 or 1 as data, found 1.0"),
        ("BOOL", [{}], "expected true, false, 0 or 1 as data, found an object"),
        ("BYTES", [1], "expected strings as data, found 1"),
    ],
)
def test_rejects_numbers_that_do_not_fit(datatype: str, data: list[Any], message: str):
    with refused(message):
        ask({"inputs": [{"name": "x", "datatype": datatype, "shape": [1], "data": data}]}, accepted=one(datatype))


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        ("INT64", [-(2**63), 2**63 - 1], np.array([-(2**63), 2**63 - 1], np.int64)),
        ("UINT64", [0, 2**64 - 1], np.array([0, 2**64 - 1], np.uint64)),
        ("INT8", [-128, 127], np.array([-128, 127], np.int8)),
        ("FP32", [0.1, 7], np.array([0.1, 7], np.float32)),
        ("FP32", [3.4028235e38, 2**70], np.array([3.4028235e38, 2**70], np.float32)),
        ("FP64", [0.1, 2**64 - 1], np.array([0.1, 2**64 - 1], np.float64)),
        ("BOOL", [True, 0], np.array([True, False])),
    ],
)
def test_reads_numbers_exactly(datatype: str, data: list[Any], expected: np.ndarray):
    entry = {"name": "x", "datatype": datatype, "shape": [2], "data": data}
    found = values(ask({"inputs": [entry]}, accepted=one(datatype)), "x")
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_reads_strings_as_bytes_tensors():
    entry = {"name": "image", "datatype": "BYTES", "shape": [2], "data": ["é", ""]}
    request = ask({"inputs": [entry]})
    assert request.inputs["image"] == ("é".encode(), b"")


def test_uses_the_last_of_two_equal_keys():
    good = json.dumps([image()]).encode()
    assert len(values(send(b'{"inputs": 5, "inputs": ' + good + b"}"), "image")) == 1
    with refused("inputs: expected a list"):
        send(b'{"inputs": ' + good + b', "inputs": 5}')


def test_rejects_deeply_nested_data():
    deep = json.loads("[" * 900 + "]" * 900)
    with refused("expected"):
        ask({"inputs": [image(data=deep)]})


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_rejects_the_first_repeated_entry(field: str, monkeypatch: pytest.MonkeyPatch):
    looked_at = 0

    def counting(*arguments: Any) -> Any:
        nonlocal looked_at
        looked_at += 1
        return known(*arguments)

    known = matching._known
    monkeypatch.setattr(matching, "_known", counting)
    request = {"inputs": [image()], field: [image(name="image" if field == "inputs" else "logits")] * 65_537}
    body = json.dumps(request).encode()
    with refused("twice"):
        send(body)
    assert looked_at <= 3


def test_limits_the_size_of_json():
    body = json.dumps({"inputs": [image()]}).encode()
    limits = {"accepted": IMAGES, "outputs": LOGITS, "max_batch": 8}
    assert len(values(parse(body, None, **limits, max_json_bytes=len(body)), "image")) == 1
    with refused(f"expected at most {len(body) - 1} bytes of JSON, found {len(body)}") as caught:
        parse(body, None, **limits, max_json_bytes=len(body) - 1)
    assert caught.value.status == 413


def test_reads_any_string_as_id():
    assert ask({"inputs": [image()], "id": 'a\r\n"b'}).id == 'a\r\n"b'
    assert ask({"inputs": [image()], "id": ""}).id == ""
    assert ask({"inputs": [image()]}).id is None


def test_an_output_overrides_binary_data_output():
    two = LOGITS | {"other": TensorSpec("other", "FP32", (-1, 1))}
    request = {"inputs": [image()], "parameters": {"binary_data_output": True}}
    assert all(each.binary for each in ask(request, outputs=two).outputs)
    request["outputs"] = [{"name": "other"}, {"name": "logits", "parameters": {"binary_data": False}}]
    assert ask(request, outputs=two).outputs == (RequestedOutput("other", True), RequestedOutput("logits", False))
    assert ask({"inputs": [image()], "outputs": []}).outputs == (RequestedOutput("logits", False),)


def test_rejects_fp16_output_in_json():
    half = {"y": TensorSpec("y", "FP16", (-1, 4))}
    with refused("output 'y': FP16 needs binary data"):
        ask({"inputs": [image()]}, outputs=half)
    named = [{"name": "y", "parameters": {"classification": 1}}]
    assert ask({"inputs": [image()], "outputs": named}, outputs=half).outputs[0].classes == 1
    assert ask({"inputs": [image()], "parameters": {"binary_data_output": True}}, outputs=half).outputs[0].binary


def test_rejects_an_invalid_tensor_spec():
    with pytest.raises(ValueError, match="found BF16"):
        TensorSpec("x", "BF16", (-1,))
    with pytest.raises(ValueError, match="no axis"):
        TensorSpec("x", "FP32", ())
    assert str(IMAGES["image"][0]) == "UINT8 [-1,2,2,1]"
