"""Requests in all forms of HTTP and gRPC: all are read alike, and faults get the same message."""

import re
from typing import Any

import numpy as np
import pytest
from grpc_messages import elements
from infer_requests import FORMS, Form, Request, Tensor, grpc_message, http_body
from protocol_models import IMAGES, LOGITS, PAIR, one, values

from edgecnn.protocol import request as http
from edgecnn.protocol.datatypes import DTYPES, TensorSpec
from edgecnn.protocol.grpc import request as grpc
from edgecnn.protocol.header import MAX_ID
from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.refusal import Refusal

PIXELS = np.array([1, 2, 3, 4], np.uint8).reshape(1, 2, 2, 1)
GOOD = Tensor(PIXELS)


def forms(*names: str) -> Any:
    return pytest.mark.parametrize("form", [FORMS[name] for name in names], ids=names)


ALL = forms(*FORMS)
RAW = forms("binary", "raw contents")
TYPED = forms("json", "contents")
WITH_ALL_VALUES = forms("binary", "contents", "raw contents")
"""JSON cannot represent NaN or bytes."""


def refused(message: str) -> Any:
    return pytest.raises(Refusal, match=message)


def with_input(**changes: Any) -> Request:
    return Request([Tensor(**{"data": PIXELS} | changes)])


def with_parameter(name: str, value: Any) -> Request:
    return Request([GOOD], parameters={name: value})


@ALL
def test_reads_an_image(form: Form):
    request = form.read(Request([GOOD]))
    assert values(request, "image").dtype == np.uint8
    assert values(request, "image").tolist() == [[[[1], [2]], [[3], [4]]]]
    assert (request.id, request.timeout_s) == (None, None)
    assert request.outputs == (RequestedOutput("logits", binary=form != FORMS["json"]),)


def test_does_not_copy_raw_tensors():
    request = Request([GOOD])
    body, length = http_body(request, raw=True)
    over_http = http.parse(body, length, accepted=IMAGES, outputs=LOGITS, max_batch=8)
    message = grpc_message(request, raw=True)
    over_grpc = grpc.parse(grpc.receive(message), accepted=IMAGES, outputs=LOGITS, max_batch=8)
    for content, found in ((body, over_http), (message, over_grpc)):
        assert np.shares_memory(values(found, "image"), np.frombuffer(content, np.uint8))
        assert not values(found, "image").flags.writeable


# FP16 is always raw.
@pytest.mark.parametrize(
    ("name", "datatype"),
    [(name, each) for name in FORMS for each in sorted(DTYPES) if FORMS[name].is_raw or each != "FP16"],
)
def test_reads_a_datatype_at_any_alignment(name: str, datatype: str):
    numbers = np.random.default_rng(0).integers(0, 2, (2, 3)).astype(DTYPES[datatype])
    for padding in range(8):
        request = Request([Tensor(numbers, "x", datatype)], id="i" * padding)
        found = values(FORMS[name].read(request, accepted=one(datatype, 3)), "x")
        assert found.dtype == numbers.dtype
        assert found.flags.aligned
        assert np.array_equal(found, numbers)


@pytest.mark.parametrize("datatype", sorted(DTYPES.keys() - {"BOOL", "FP16"}))
@TYPED
def test_reads_the_limits_of_a_datatype(form: Form, datatype: str):
    limits = np.finfo(DTYPES[datatype]) if datatype.startswith("FP") else np.iinfo(DTYPES[datatype])
    numbers = np.array([[limits.min, limits.max, 1]], DTYPES[datatype])
    found = values(form.read(Request([Tensor(numbers, "x", datatype)]), accepted=one(datatype, 3)), "x")
    assert np.array_equal(found, numbers)


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@WITH_ALL_VALUES
def test_reads_nan_and_infinity(form: Form, datatype: str):
    numbers = np.array([[np.nan, np.inf, -0.0]], DTYPES[datatype])
    found = values(form.read(Request([Tensor(numbers, "x", datatype)]), accepted=one(datatype, 3)), "x")
    assert found.tobytes() == numbers.tobytes()


@ALL
def test_reads_several_inputs_in_any_order(form: Form):
    a, b = Tensor(np.array([[1, 2]], "<i4"), "a", "INT32"), Tensor(np.array([[3, 4]], "<f4"), "b", "FP32")
    request = form.read(Request([b, a]), accepted=PAIR)
    assert list(request.inputs) == ["b", "a"]
    assert (values(request, "a").tolist(), values(request, "b").tolist()) == ([[1, 2]], [[3, 4]])
    with refused("expected the inputs 'a', 'b', found 'b'"):
        form.read(Request([b]), accepted=PAIR)
    with refused("input 'a' is given twice"):
        form.read(Request([a, a]), accepted=PAIR)
    two = Tensor(np.array([[1, 2], [3, 4]], "<i4"), "a", "INT32")
    with refused("input 'b': expected a batch of 2, as the inputs before have, found 1"):
        form.read(Request([two, b]), accepted=PAIR)


@WITH_ALL_VALUES
def test_reads_image_files(form: Form):
    files = (b"\xff\xd8", b"", b"x" * 70_000)
    assert form.read(Request([Tensor(files, datatype="BYTES")])).inputs == {"image": files}


FAULTS: list[tuple[Request, str]] = [
    (Request([]), "inputs: expected a list of at least one, found a list of 0"),
    (with_input(name="z"), "unexpected input 'z'; model expects 'image'"),
    (with_input(name=""), "unexpected input ''; model expects 'image'"),
    (with_input(name="a\nb" * 99), r"unexpected input 'a\\nba"),
    (with_input(name="\r\n\x1b[31m\u202e<b>" + "x" * 10_000), "unexpected input '"),
    (Request([GOOD, GOOD]), "input 'image' is given twice"),
    (with_input(datatype="FP32"), r"expected UINT8 \[-1,2,2,1\] or BYTES \[-1\], found FP32 \[1,2,2,1\]"),
    (with_input(datatype="uint8"), "found the datatype 'uint8'"),
    (with_input(datatype=""), "found the datatype ''"),
    (with_input(shape=[]), r"found UINT8 \[\]"),
    (with_input(shape=[2, 2, 1]), r"found UINT8 \[2,2,1\]"),
    (with_input(shape=[0, 2, 2, 1]), r"found UINT8 \[0,2,2,1\]"),
    (with_input(shape=[-1, 2, 2, 1]), r"found UINT8 \[-1,2,2,1\]"),
    (with_input(shape=[9, 2, 2, 1]), "expected a batch of at most 8, found 9"),
    (with_input(shape=[1, 2, 3, 1]), r"found UINT8 \[1,2,3,1\]"),
    (with_input(shape=[2**63 - 1] * 4), r"found UINT8 \[9223372036854775807,"),
    (with_input(shape=[1] * 99), r"found UINT8 \[1,1,"),
    (Request([GOOD], [("z", {})]), "unexpected output 'z'; model returns 'logits'"),
    (Request([GOOD], [("logits", {})] * 2), "output 'logits' is requested twice"),
    (with_parameter("timeout", -1), "expected an integer of at least 0 as timeout, found -1"),
    (with_parameter("timeout", 1.5), "expected an integer of at least 0 as timeout, found 1.5"),
    (with_parameter("timeout", "5"), "expected an integer of at least 0 as timeout, found '5'"),
    (with_parameter("timeout", True), "expected an integer of at least 0 as timeout, found true"),
    (with_parameter("timeout", None), "expected an integer of at least 0 as timeout, found null"),
    (with_parameter("shared_memory_region", "r"), "shared memory is not supported"),
    (with_input(parameters={"shared_memory_region": "r"}), "input: shared memory is not supported"),
    (Request([GOOD], [("logits", {"shared_memory_region": "r"})]), "output: shared memory is not supported"),
    (Request([GOOD], id="x" * (MAX_ID + 1)), f"id: expected at most {MAX_ID} characters, found {MAX_ID + 1}"),
] + [
    (Request([GOOD], [("logits", {"classification": classes})]), "output: expected an integer of at least 0 as class")
    for classes in (-1, "x", 1.5, True, None)
]


@pytest.mark.parametrize(("request_", "message"), FAULTS)
def test_names_a_fault_in_the_same_words(request_: Request, message: str):
    texts = set()
    for form in FORMS.values():
        with refused(message) as caught:
            form.read(request_)
        assert caught.value.reason == "invalid"
        texts.add(str(caught.value))
    (text,) = texts
    assert text.isprintable()
    assert len(text) < 300


@RAW
@pytest.mark.parametrize("size", [0, 3, 5])
def test_rejects_raw_data_of_another_size(form: Form, size: int):
    with refused(f"input 'image': expected 4 bytes for its shape, found {size}"):
        form.read(with_input(raw=bytes(size)))


@TYPED
@pytest.mark.parametrize("count", [0, 3, 5])
def test_rejects_another_number_of_elements(form: Form, count: int):
    expected = f"input 'image': expected 4 elements for its shape, found {count}"
    if form.is_grpc and not count:  # an empty list is not sent
        expected = "input 'image': expected raw_input_contents or contents, found neither"
    with refused(expected):
        form.read(with_input(data=np.zeros(count, np.uint8), shape=[1, 2, 2, 1]))


@TYPED
@pytest.mark.parametrize(
    ("datatype", "number"),
    [("UINT8", 256), ("UINT8", 2**32 - 1), ("UINT16", 2**16), ("INT8", 128), ("INT8", -129), ("INT16", -(2**15) - 1)],
)
def test_rejects_a_number_out_of_range(form: Form, datatype: str, number: int):
    request = Request([Tensor(np.array([[1, number]]), "x", datatype)])
    with refused(f"input 'x': {number} is out of range for {datatype}"):
        form.read(request, accepted=one(datatype, 2))


@ALL
@pytest.mark.parametrize("sizes", [[2, 2**60 + 2], [8, 10**9]])
def test_rejects_a_shape_whose_size_overflows(form: Form, sizes: list[int]):
    request = Request([Tensor(np.ones(1), "x", "FP64", sizes)])
    with refused("bytes for its shape, found 8" if form.is_raw else "elements for its shape, found 1"):
        form.read(request, accepted=one("FP64", -1))


@RAW
def test_rejects_a_raw_bool_other_than_0_or_1(form: Form):
    for byte in (2, 255):
        request = Request([Tensor(name="x", datatype="BOOL", shape=[2], raw=bytes([0, byte]))])
        with refused(f"expected bytes of 0 or 1 for BOOL, found {byte}"):
            form.read(request, accepted=one("BOOL"))


@RAW
@pytest.mark.parametrize(
    ("raw", "count", "message"),
    [
        (b"", 1, "expected 1 length-prefixed elements, found 0 bytes"),
        (b"\1\0\0", 1, "expected 1 length-prefixed elements, found 3 bytes"),
        (elements(b"12345")[:-1], 1, "element 0 has 5 bytes, found 4"),
        (b"\xff\xff\xff\xff", 1, "element 0 has 4294967295 bytes, found 0"),
        (elements(b"1234") + b"\0\0", 2, "element 1 has no length"),
        (elements(b"1", b"2"), 1, "unexpected 5 additional bytes after its 1 elements"),
        (elements(b"1", b"2"), 3, "expected 3 length-prefixed elements, found 10 bytes"),
    ],
)
def test_rejects_elements_of_another_length(form: Form, raw: bytes, count: int, message: str):
    with refused(f"input 'image': {re.escape(message)}"):
        form.read(with_input(datatype="BYTES", shape=[count], raw=raw))


@RAW
def test_rejects_an_element_across_two_tensors(form: Form):
    accepted = one("BYTES") | {"y": (TensorSpec("y", "UINT8", (-1, 4)),)}
    inputs = [Tensor(name="x", datatype="BYTES", shape=[1], raw=elements(b"1234")[:4])]
    inputs += [Tensor(name="y", shape=[1, 4], raw=bytes(4))]
    with refused("element 0 has 4 bytes, found 0"):
        form.read(Request(inputs), accepted=accepted)


@ALL
def test_reads_timeouts_in_microseconds(form: Form):
    assert form.read(with_parameter("timeout", 1500)).timeout_s == 0.0015
    assert form.read(with_parameter("timeout", 0)).timeout_s is None


@ALL
@pytest.mark.parametrize("text", ["é\n7", 'a\r\n"b'])
def test_keeps_any_id(form: Form, text: str):
    assert form.read(Request([GOOD], id=text)).id == text


@ALL
def test_reads_a_number_of_classes(form: Form):
    (found,) = form.read(Request([GOOD], [("logits", {"classification": 3})])).outputs
    assert (found.name, found.classes) == ("logits", 3)
