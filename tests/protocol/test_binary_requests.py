"""Framing of raw tensors after the JSON, valid and invalid (rows 31 to 41 of the table of faults)."""

import json
from typing import Any

import numpy as np
import pytest
from protocol_models import IMAGES, LOGITS, PAIR, ask, image, one, send, values

from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import parse


def refused(message: str) -> Any:
    return pytest.raises(Refusal, match=message)


def raw(name: str, datatype: str, shape: list[int], size: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def raw_image(size: Any) -> dict[str, Any]:
    return raw("image", "UINT8", [1, 2, 2, 1], size)


def test_does_not_copy_aligned_data():
    header = json.dumps({"inputs": [raw("x", "FP32", [1, 1], 4)]}).encode()
    bodies = [header + b" " * padding + bytes(4) for padding in range(4)]
    found = [
        values(parse(body, str(len(body) - 4), accepted=one("FP32", 1), outputs=LOGITS, max_batch=1), "x")
        for body in bodies
    ]
    assert [np.shares_memory(x, np.frombuffer(b, np.uint8)) for x, b in zip(found, bodies, strict=True)].count(
        True
    ) == 1


def test_reads_consecutive_raw_tensors():
    a, b = np.array([[1, 2]], "<i4"), np.array([[3, 4]], "<f4")
    both = [raw("b", "FP32", [1, 2], 8), raw("a", "INT32", [1, 2], 8)]
    request = ask({"inputs": both}, b.tobytes(), a.tobytes(), accepted=PAIR)
    assert (values(request, "a").tolist(), values(request, "b").tolist()) == ([[1, 2]], [[3, 4]])
    both[0] = {"name": "b", "datatype": "FP32", "shape": [1, 2], "data": [3, 4]}
    request = ask({"inputs": both}, a.tobytes(), accepted=PAIR)
    assert (values(request, "a").tolist(), values(request, "b").tolist()) == ([[1, 2]], [[3, 4]])


def test_accepts_a_header_without_raw_data():
    body = json.dumps({"inputs": [image()]}).encode()
    assert len(values(send(body, str(len(body))), "image")) == 1


@pytest.mark.parametrize("text", ["abc", "", "-5", "+3", "1e3", " 7", "7 ", "0x10", "1_0", "12, 13", "٣", "²", "\r\n"])
def test_rejects_a_malformed_header_length(text: str):
    with refused("Inference-Header-Content-Length: expected decimal digits, found '") as caught:
        send(json.dumps({"inputs": [image()]}).encode(), text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("length", [5, 2**31 + 1, 2**64 + 1, "9" * 5000])
def test_rejects_a_header_longer_than_the_body(length: Any):
    with refused(r"inference header size should be in range \(0, 4\), got: ") as caught:
        send(b"1234", str(length))
    assert len(str(caught.value)) < 200


def test_rejects_a_header_length_that_cuts_json():
    header = json.dumps({"id": "é", "inputs": [raw_image(4)]}, ensure_ascii=False).encode()
    for length in range(1, len(header)):
        with refused("invalid JSON"):
            send(header + bytes(4), str(length))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (-1, "integer of at least 0 as binary_data_size, found -1"),
        (4.0, "integer of at least 0 as binary_data_size, found 4.0"),
        ("4", "integer of at least 0 as binary_data_size, found '4'"),
        (True, "integer of at least 0 as binary_data_size, found true"),
        (None, "integer of at least 0 as binary_data_size, found null"),
        (5, "expected at most 4 bytes as binary_data_size, found 5"),
        (2**63, "expected at most 4 bytes as binary_data_size, found 9223372036854775808"),
        (2**70, "integer of at least 0 as binary_data_size"),
    ],
)
def test_rejects_a_wrong_size(size: Any, message: str):
    with refused(message):
        ask({"inputs": [raw_image(size)]}, bytes(4))


def test_rejects_sizes_that_overflow():
    with refused("input 'b': expected at most 0 bytes as binary_data_size, found 18446744073709551608"):
        ask({"inputs": [raw("a", "INT32", [1, 2], 8), raw("b", "FP32", [1, 2], 2**64 - 8)]}, bytes(8), accepted=PAIR)


def test_rejects_additional_bytes():
    with refused("unexpected 3 additional bytes after the last input"):
        ask({"inputs": [raw_image(4)]}, bytes(7))
    with refused("unexpected 4 additional bytes after the last input"):
        ask({"inputs": [image()]}, bytes(4))


def test_rejects_data_and_a_size():
    with refused("expected data or binary_data_size, found both"):
        ask({"inputs": [raw_image(4) | {"data": [1, 2, 3, 4]}]}, bytes(4))


def test_reads_a_raw_request():
    request = send(b"\1\2\3\4", "0")
    assert values(request, "image").tolist() == [[[[1], [2]], [[3], [4]]]]
    assert (request.id, request.timeout_s) == (None, None)
    assert request.outputs == (RequestedOutput("logits", binary=True),)
    assert send(b"photo", "0", {"image": IMAGES["image"][1:]}).inputs == {"image": (b"photo",)}


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        (IMAGES, "expected 4 bytes for its shape, found 3"),
        (PAIR, "a raw request needs a model with one input; the model expects 'a', 'b'"),
        (one("UINT8", -1), r"needs an input of fixed size; the model expects x as UINT8 \[-1,-1\]"),
        (one("BYTES", 3), r"one element; the model expects x as BYTES \[-1,3\]"),
    ],
)
def test_rejects_a_raw_request_of_another_shape(accepted: Any, message: str):
    with refused(message):
        send(b"123", "0", accepted)
    with refused("request body is empty"):
        send(b"", "0", accepted)
