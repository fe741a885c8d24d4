"""Requests as protobuf messages, good and bad: whatever HTTP would say of them is said here."""

from typing import Any

import grpc_messages
import numpy as np
import protocol_models
import pytest
from grpc_messages import RAW, ask, elements, infer, put, tensor, values
from protocol_models import IMAGES, LOGITS, PAIR, one

from edgecnn.protocol.datatypes import DTYPES
from edgecnn.protocol.grpc.contents import FIELDS
from edgecnn.protocol.grpc.request import parse, receive
from edgecnn.protocol.grpc.splitting import MAX_DESCRIPTION_BYTES, MAX_FIELDS
from edgecnn.protocol.header import MAX_ID
from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.refusal import Refusal

FLAT = "UINT8 [-1,2,2,1] or BYTES [-1]"


def refused(message: str) -> Any:
    return pytest.raises(Refusal, match=message)


def typed(datatype: str, contents: dict[str, Any], *shape: int) -> Any:
    return infer(inputs=[tensor("x", datatype, shape, contents=contents)], raw_input_contents=[])


def test_raw_tensors_lie_in_the_message_and_are_not_copied():
    body = infer().SerializeToString()
    request = ask(body)
    assert values(request).tolist() == [[[[1], [2]], [[3], [4]]]]
    assert np.shares_memory(values(request), np.frombuffer(body, np.uint8))
    assert not values(request).flags.writeable
    assert (request.id, request.timeout_s) == (None, None)
    assert request.outputs == (RequestedOutput("logits", binary=True),)


@pytest.mark.parametrize("datatype", sorted(DTYPES))
@pytest.mark.parametrize("padding", range(1, 9))
def test_every_datatype_arrives_raw_bit_for_bit_wherever_it_begins(datatype: str, padding: int):
    numbers = np.random.default_rng(0).integers(0, 2, 6).astype(DTYPES[datatype])
    message = infer(id="i" * padding, inputs=[tensor("x", datatype, (2, 3))], raw_input_contents=[numbers.tobytes()])
    found = values(ask(message, accepted=one(datatype, 3)), "x")
    assert found.dtype == numbers.dtype
    assert found.flags.aligned
    assert np.array_equal(found, numbers.reshape(2, 3))


def test_raw_tensors_belong_to_the_inputs_in_their_order():
    a, b = np.array([[1, 2]], "<i4"), np.array([[3, 4]], "<f4")
    both = [tensor("b", "FP32", (1, 2)), tensor("a", "INT32", (1, 2))]
    request = ask(infer(inputs=both, raw_input_contents=[b.tobytes(), a.tobytes()]), accepted=PAIR)
    assert (values(request, "a").tolist(), values(request, "b").tolist()) == ([[1, 2]], [[3, 4]])


def test_fields_may_come_in_any_order_and_apart():
    message = infer(id="7")
    inputs, raw, name = infer(raw_input_contents=[], model_name=""), infer(inputs=[], model_name=""), infer()
    name.ClearField("inputs")
    name.ClearField("raw_input_contents")
    body = b"".join(part.SerializeToString() for part in (raw, inputs, name)) + b"\x1a\x017"
    assert values(ask(body)).tolist() == values(ask(message)).tolist()
    assert ask(body).id == "7"


def test_image_files_come_raw_or_as_elements():
    files = (b"\xff\xd8", b"", b"x" * 70_000)
    raw = infer(inputs=[tensor(datatype="BYTES", shape=[3])], raw_input_contents=[elements(*files)])
    within = infer(
        inputs=[tensor(datatype="BYTES", shape=[3], contents={"bytes_contents": files})], raw_input_contents=[]
    )
    assert ask(raw).inputs == ask(within).inputs == {"image": files}


@pytest.mark.parametrize("datatype", sorted(FIELDS.keys() - {"BYTES", "BOOL"}))
def test_numbers_come_in_the_field_of_their_datatype_and_in_no_other(datatype: str):
    dtype = DTYPES[datatype]
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    numbers = [limits.min, limits.max, 1]
    request = ask(typed(datatype, {FIELDS[datatype]: numbers}, 1, 3), accepted=one(datatype, 3))
    assert values(request, "x").tolist() == [numbers]
    assert values(request, "x").dtype == dtype
    other = next(field for field in FIELDS.values() if field != FIELDS[datatype])
    with refused(f"input 'x': expected {FIELDS[datatype]} for {datatype}, found {other}"):
        ask(typed(datatype, {other: [True]}, 1, 3), accepted=one(datatype, 3))
    with refused(f"input 'x': expected {FIELDS[datatype]} for {datatype}, found bool_contents, {FIELDS[datatype]}"):
        ask(typed(datatype, {"bool_contents": [True], FIELDS[datatype]: [1]}, 1, 1), accepted=one(datatype, 1))


@pytest.mark.parametrize(
    ("datatype", "number"),
    [("UINT8", 256), ("UINT8", 2**32 - 1), ("UINT16", 2**16), ("INT8", 128), ("INT8", -129), ("INT16", -(2**15) - 1)],
)
def test_a_number_that_its_datatype_does_not_have_is_refused_and_not_wrapped(datatype: str, number: int):
    with refused(f"input 'x': {number} is out of range for {datatype}"):
        ask(typed(datatype, {FIELDS[datatype]: [1, number]}, 1, 2), accepted=one(datatype, 2))


def test_truths_come_as_such():
    request = ask(typed("BOOL", {"bool_contents": [True, False]}, 2), accepted=one("BOOL"))
    assert values(request, "x").tolist() == [True, False]


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_numbers_that_are_infinite_or_none_come_as_they_come_raw(datatype: str):
    numbers = [float("nan"), float("inf"), -0.0]
    request = ask(typed(datatype, {FIELDS[datatype]: numbers}, 1, 3), accepted=one(datatype, 3))
    assert np.array_equal(values(request, "x"), np.array([numbers], DTYPES[datatype]), equal_nan=True)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_datatypes_without_a_field_come_raw_only(datatype: str):
    accepted = one("FP16", 1)
    with refused("needs raw_input_contents" if datatype == "FP16" else r"found BF16 \[1,1\]"):
        ask(typed(datatype, {"fp32_contents": [1]}, 1, 1), accepted=accepted)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"uint_contents": [1, 2, 3]}, "input 'image': expected 4 elements for its shape, found 3"),
        ({"uint_contents": [1] * 5}, "input 'image': expected 4 elements for its shape, found 5"),
        ({"fp32_contents": [1] * 4}, "input 'image': expected uint_contents for UINT8, found fp32_contents"),
        ({}, "input 'image': expected raw_input_contents or contents, found neither"),
    ],
)
def test_elements_that_are_not_the_tensors_are_refused(contents: Any, message: str):
    with refused(message):
        ask(infer(inputs=[tensor(contents=contents)], raw_input_contents=[]))


@pytest.mark.parametrize("raw", [RAW * 2, [b"", b"", b""]])
def test_raw_tensors_that_are_not_as_many_as_the_inputs_are_refused(raw: list[bytes]):
    with refused(f"raw_input_contents: expected one for each of the 1 inputs, found {len(raw)}"):
        ask(infer(raw_input_contents=raw))
    with refused("raw_input_contents: expected one for each of the 0 inputs, found 1"):
        ask(infer(inputs=[]))


def test_raw_tensors_and_contents_do_not_mix():
    mixed = tensor(contents={"uint_contents": [1, 2, 3, 4]})
    with refused("input 'image': expected raw_input_contents or contents, found both"):
        ask(infer(inputs=[mixed]))
    pair = [tensor("a", "INT32", (1, 2)), tensor("b", "FP32", (1, 2), contents={"fp32_contents": [1, 2]})]
    with refused("raw_input_contents: expected one for each of the 2 inputs, found 1"):
        ask(infer(inputs=pair, raw_input_contents=[bytes(8)]), accepted=PAIR)
    assert values(ask(infer(inputs=[tensor(contents={})]))).shape == (1, 2, 2, 1)


WRONG = [
    ({"inputs": []}, {"inputs": []}),
    ({"inputs": [tensor("z")]}, {"inputs": [protocol_models.image(name="z")]}),
    ({"inputs": [tensor("")]}, {"inputs": [protocol_models.image(name="")]}),
    ({"inputs": [tensor("a\nb" * 99)]}, {"inputs": [protocol_models.image(name="a\nb" * 99)]}),
    ({"inputs": [tensor()] * 2}, {"inputs": [protocol_models.image()] * 2}),
    ({"inputs": [tensor(datatype="FP32")]}, {"inputs": [protocol_models.image(datatype="FP32")]}),
    ({"inputs": [tensor(datatype="uint8")]}, {"inputs": [protocol_models.image(datatype="uint8")]}),
    ({"inputs": [tensor(datatype="")]}, {"inputs": [protocol_models.image(datatype="")]}),
    ({"inputs": [tensor(shape=())]}, {"inputs": [protocol_models.image(shape=[])]}),
    ({"inputs": [tensor(shape=(0, 2, 2, 1))]}, {"inputs": [protocol_models.image(shape=[0, 2, 2, 1])]}),
    ({"inputs": [tensor(shape=(-1, 2, 2, 1))]}, {"inputs": [protocol_models.image(shape=[-1, 2, 2, 1])]}),
    ({"inputs": [tensor(shape=(9, 2, 2, 1))]}, {"inputs": [protocol_models.image(shape=[9, 2, 2, 1])]}),
    ({"inputs": [tensor(shape=(1, 2, 3, 1))]}, {"inputs": [protocol_models.image(shape=[1, 2, 3, 1])]}),
    ({"inputs": [tensor(shape=(2**63 - 1,) * 4)]}, {"inputs": [protocol_models.image(shape=[2**63 - 1] * 4)]}),
    ({"inputs": [tensor(shape=(1,) * 99)]}, {"inputs": [protocol_models.image(shape=[1] * 99)]}),
    ({"outputs": [{"name": "z"}]}, {"outputs": [{"name": "z"}]}),
    ({"outputs": [{"name": "logits"}] * 2}, {"outputs": [{"name": "logits"}] * 2}),
    ({"parameters": {"timeout": -1}}, {"parameters": {"timeout": -1}}),
    ({"parameters": {"timeout": 1.5}}, {"parameters": {"timeout": 1.5}}),
    ({"parameters": {"timeout": "5"}}, {"parameters": {"timeout": "5"}}),
    ({"parameters": {"timeout": True}}, {"parameters": {"timeout": True}}),
    ({"parameters": {"timeout": None}}, {"parameters": {"timeout": None}}),
    ({"parameters": {"shared_memory_region": "r"}}, {"parameters": {"shared_memory_region": "r"}}),
    ({"id": "x" * (MAX_ID + 1)}, {"id": "x" * (MAX_ID + 1)}),
]


@pytest.mark.parametrize(("message", "document"), WRONG)
def test_what_is_wrong_is_said_as_over_http(message: dict[str, Any], document: dict[str, Any]):
    raw = [RAW[0]] * len(message.get("inputs", [0]))
    with pytest.raises(Refusal) as over_grpc:
        ask(infer(**{"raw_input_contents": raw} | message))
    with pytest.raises(Refusal) as over_http:
        protocol_models.ask({"inputs": [protocol_models.image()]} | document)
    assert over_grpc.value.reason == over_http.value.reason == "invalid"
    assert str(over_grpc.value) == str(over_http.value)
    assert str(over_grpc.value).isprintable()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (3, "expected 4 bytes for its shape, found 3"),
        (5, "expected 4 bytes for its shape, found 5"),
        (0, "expected 4 bytes for its shape, found 0"),
    ],
)
def test_raw_bytes_that_are_not_the_tensors_are_refused(size: int, message: str):
    with refused(message):
        ask(infer(raw_input_contents=[bytes(size)]))


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"\1\0\0", 1, "expected 1 elements, each behind its length, found 3 bytes"),
        (elements(b"1234")[:-1], 1, "element 0 has 4 bytes, found 3"),
        (elements(b"1", b"2"), 1, "unexpected 5 additional bytes after its 1 elements"),
    ],
)
def test_raw_elements_that_do_not_fill_their_tensor_are_refused(data: bytes, count: int, message: str):
    with refused(message):
        ask(infer(inputs=[tensor(datatype="BYTES", shape=[count])], raw_input_contents=[data]))


@pytest.mark.parametrize("field", ["int64_param", "uint64_param"])
def test_a_timeout_is_microseconds_in_either_kind_of_integer(field: str):
    message = infer()
    setattr(message.parameters["timeout"], field, 1500)
    assert ask(message).timeout_s == 0.0015
    setattr(message.parameters["timeout"], field, 0)
    assert ask(message).timeout_s is None


def test_classes_are_asked_for_with_a_parameter_of_the_output_and_come_raw_whatever_is_said():
    message = infer(outputs=[{"name": "logits"}], parameters={"binary_data_output": False, "priority": 7, "a": "b"})
    put(message.outputs[0].parameters["classification"], 3)
    put(message.outputs[0].parameters["binary_data"], False)
    assert ask(message).outputs == (RequestedOutput("logits", binary=True, classes=3),)
    put(message.outputs[0].parameters["classification"], "3")
    with refused("output: expected an integer of at least 0 as classification, found '3'"):
        ask(message)
    put(message.outputs[0].parameters["shared_memory_region"], "r")
    with refused("output: shared memory is not supported"):
        ask(message)


@pytest.mark.parametrize("raw", [RAW, []])
def test_shared_memory_of_an_input_is_refused(raw: list[bytes]):
    message = infer(raw_input_contents=raw)
    put(message.inputs[0].parameters["shared_memory_region"], "region")
    with refused("input: shared memory is not supported"):
        ask(message)


def test_an_id_is_kept():
    assert ask(infer(id="é\n7")).id == "é\n7"
    assert ask(infer(id="")).id is None


def test_a_message_that_describes_itself_at_length_is_refused_before_it_is_read():
    with refused(f"expected at most {MAX_FIELDS} inputs, outputs, parameters and raw tensors, found more"):
        ask(b"\x2a\x00" * (8 << 20))
    with refused("raw tensors, found more"):
        ask(b"\x3a\x00" * (MAX_FIELDS + 1))
    with pytest.raises(Refusal, match="send tensors in raw_input_contents") as caught:
        ask(infer(id="x" * MAX_DESCRIPTION_BYTES))
    assert caught.value.status == 413
    received = receive(infer(id="x" * 100).SerializeToString())
    with refused("expected at most 120 bytes beside raw tensors, found 1"):
        parse(received, accepted=IMAGES, outputs=LOGITS, max_batch=8, max_described_bytes=120)


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_message_that_is_cut_off_is_refused(cut: int):
    body = infer(id="7").SerializeToString()
    with pytest.raises(Refusal) as caught:
        ask(body[:-cut])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"\x3b", b"\x3c", b"\x3e", b"\x3f", b"\xff" * 12, b"\x3a\xff\xff\xff\xff\x7f", b"\x00", b"\x38" + b"\xff" * 10],
)
def test_bytes_that_are_no_fields_are_refused(body: bytes):
    with refused("damaged at byte|cut off|found bytes that are none"):
        ask(body)


def test_unknown_fields_are_skipped():
    body = infer().SerializeToString() + b"\x98\x06\x01" + b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4)
    assert values(ask(body + b"\x9a\x06\x03abc")).shape == (1, 2, 2, 1)
    assert values(ask(body + b"\x38\x07")).shape == (1, 2, 2, 1)  # raw_input_contents' number, in a form that is none


def test_every_kind_of_parameter_is_read():
    message = infer(parameters={"a": True, "b": 2, "c": "é", "d": 0.5, "e": None})
    message.parameters["f"].uint64_param = 2**64 - 1
    assert grpc_messages.ask(message, outputs=LOGITS).inputs.keys() == {"image"}
