"""Requests as protobuf messages: properties and faults that JSON requests lack."""

from typing import Any

import grpc_messages
import pytest
from grpc_messages import RAW, ask, infer, put, tensor, values
from protocol_models import IMAGES, LOGITS, PAIR, one

from edgecnn.protocol.grpc.contents import FIELDS
from edgecnn.protocol.grpc.request import parse, receive
from edgecnn.protocol.grpc.splitting import MAX_DESCRIPTION_BYTES, MAX_FIELDS
from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.refusal import Refusal

FLAT = "UINT8 [-1,2,2,1] or BYTES [-1]"


def refused(message: str) -> Any:
    return pytest.raises(Refusal, match=message)


def typed(datatype: str, contents: dict[str, Any], *shape: int) -> Any:
    return infer(inputs=[tensor("x", datatype, shape, contents=contents)], raw_input_contents=[])


def test_reads_fields_in_any_order():
    message = infer(id="7")
    inputs, raw, name = infer(raw_input_contents=[], model_name=""), infer(inputs=[], model_name=""), infer()
    name.ClearField("inputs")
    name.ClearField("raw_input_contents")
    body = b"".join(part.SerializeToString() for part in (raw, inputs, name)) + b"\x1a\x017"
    assert values(ask(body)).tolist() == values(ask(message)).tolist()
    assert ask(body).id == "7"


@pytest.mark.parametrize("datatype", sorted(FIELDS.keys() - {"BYTES", "BOOL"}))
def test_rejects_the_field_of_another_datatype(datatype: str):
    other = next(field for field in FIELDS.values() if field != FIELDS[datatype])
    with refused(f"input 'x': expected {FIELDS[datatype]} for {datatype}, found {other}"):
        ask(typed(datatype, {other: [True]}, 1, 3), accepted=one(datatype, 3))
    with refused(f"input 'x': expected {FIELDS[datatype]} for {datatype}, found bool_contents, {FIELDS[datatype]}"):
        ask(typed(datatype, {"bool_contents": [True], FIELDS[datatype]: [1]}, 1, 1), accepted=one(datatype, 1))


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_rejects_fp16_and_bf16_as_contents(datatype: str):
    accepted = one("FP16", 1)
    with refused("needs raw_input_contents" if datatype == "FP16" else r"found BF16 \[1,1\]"):
        ask(typed(datatype, {"fp32_contents": [1]}, 1, 1), accepted=accepted)


@pytest.mark.parametrize("raw", [RAW * 2, [b"", b"", b""]])
def test_rejects_another_number_of_raw_tensors(raw: list[bytes]):
    with refused(f"raw_input_contents: expected one for each of the 1 inputs, found {len(raw)}"):
        ask(infer(raw_input_contents=raw))
    with refused("raw_input_contents: expected one for each of the 0 inputs, found 1"):
        ask(infer(inputs=[]))


def test_rejects_raw_tensors_with_contents():
    mixed = tensor(contents={"uint_contents": [1, 2, 3, 4]})
    with refused("input 'image': expected raw_input_contents or contents, found both"):
        ask(infer(inputs=[mixed]))
    pair = [tensor("a", "INT32", (1, 2)), tensor("b", "FP32", (1, 2), contents={"fp32_contents": [1, 2]})]
    with refused("raw_input_contents: expected one for each of the 2 inputs, found 1"):
        ask(infer(inputs=pair, raw_input_contents=[bytes(8)]), accepted=PAIR)
    assert values(ask(infer(inputs=[tensor(contents={})]))).shape == (1, 2, 2, 1)


@pytest.mark.parametrize("field", ["int64_param", "uint64_param"])
def test_reads_timeouts_of_both_integer_types(field: str):
    message = infer()
    setattr(message.parameters["timeout"], field, 1500)
    assert ask(message).timeout_s == 0.0015
    setattr(message.parameters["timeout"], field, 0)
    assert ask(message).timeout_s is None


def test_reads_classification_as_raw():
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


def test_an_empty_id_is_none():
    assert ask(infer(id="")).id is None


def test_limits_the_description():
    with refused(f"expected at most {MAX_FIELDS} inputs, outputs, parameters and raw tensors, found more"):
        ask(b"\x2a\x00" * (8 << 20))
    with refused("raw tensors, found more"):
        ask(b"\x3a\x00" * (MAX_FIELDS + 1))
    with pytest.raises(Refusal, match="send tensors in raw_input_contents") as caught:
        ask(infer(id="x" * MAX_DESCRIPTION_BYTES))
    assert caught.value.status == 413
    received = receive(infer(id="x" * 100).SerializeToString())
    with refused("expected at most 120 bytes besides raw tensors, found 1"):
        parse(received, accepted=IMAGES, outputs=LOGITS, max_batch=8, max_described_bytes=120)


@pytest.mark.parametrize("cut", range(1, 40))
def test_rejects_a_truncated_message(cut: int):
    body = infer(id="7").SerializeToString()
    with pytest.raises(Refusal) as caught:
        ask(body[:-cut])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"\x3b", b"\x3c", b"\x3e", b"\x3f", b"\xff" * 12, b"\x3a\xff\xff\xff\xff\x7f", b"\x00", b"\x38" + b"\xff" * 10],
)
def test_rejects_bytes_that_are_not_protobuf(body: bytes):
    with refused("damaged at byte|cut off|found malformed protobuf"):
        ask(body)


def test_skips_unknown_fields():
    body = infer().SerializeToString() + b"\x98\x06\x01" + b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4)
    assert values(ask(body + b"\x9a\x06\x03abc")).shape == (1, 2, 2, 1)
    assert values(ask(body + b"\x38\x07")).shape == (
        1,
        2,
        2,
        1,
    )  # the number of raw_input_contents as a varint


def test_reads_parameters_of_all_types():
    message = infer(parameters={"a": True, "b": 2, "c": "é", "d": 0.5, "e": None})
    message.parameters["f"].uint64_param = 2**64 - 1
    assert grpc_messages.ask(message, outputs=LOGITS).inputs.keys() == {"image"}
