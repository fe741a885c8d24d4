"""Tests of the check for 4-bit weights on the bytes of a graph: fields that parsers merge, and damage."""

import contextlib

import onnx
import pytest
from four_bit_graphs import NAME, PACKED, check, node_of, small_linear, tensor
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper

from edgecnn.bundle.four_bits import DOMAIN, OPERATOR
from edgecnn.errors import BundleError, WeightBeyondRange


def field(number: int, content: bytes) -> bytes:
    """Return an encoded field with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


def test_rejects_a_reader_in_a_merged_graph():
    reader = helper.make_node("DequantizeLinear", [PACKED, "one"], ["read"]).SerializeToString()
    with pytest.raises(WeightBeyondRange, match="read more than once"):
        check(small_linear().SerializeToString() + field(7, field(1, reader)))


REPEATED: dict[str, tuple[bytes, tuple[str, ...], str]] = {
    "operator": (field(4, b"MatMulInteger"), (), "the range of the 8-bit weights"),
    "domain": (field(7, b"local"), (), "the range of the 8-bit weights"),
    "input": (field(1, PACKED.encode()), (NAME,), "expected 4 inputs, found 5"),
    "attribute": (field(5, helper.make_attribute("bits", 8).SerializeToString()), (NAME,), "expected the attributes"),
}


@pytest.mark.parametrize("repeated", REPEATED)
def test_reads_repeated_fields_of_a_node_like_a_parser(repeated: str):
    addition, names, message = REPEATED[repeated]
    model = small_linear()
    node = node_of(model).SerializeToString()
    model.graph.node.remove(node_of(model))
    with pytest.raises(WeightBeyondRange, match=message):
        check(model.SerializeToString() + field(7, field(1, node + addition)), names=names)


@pytest.mark.parametrize(("values", "accepted"), [((8, 4), True), ((4, 8), False), ((4, 4 + 2**32), False)])
def test_reads_the_last_value_of_an_attribute(values: tuple[int, int], accepted: bool):
    model = small_linear()
    others = [each for each in node_of(model).attribute if each.name != "bits"]
    del node_of(model).attribute[:]
    node_of(model).attribute.extend(others)
    node = node_of(model).SerializeToString()
    model.graph.node.remove(node_of(model))
    bits = field(1, b"bits") + b"".join(b"\x18" + varint(value) for value in values) + b"\xa0\x01\x02"
    content = model.SerializeToString() + field(7, field(1, node + field(5, bits)))
    with contextlib.nullcontext() if accepted else pytest.raises(WeightBeyondRange, match="expected the attributes"):
        check(content)


def test_rejects_too_many_dimensions():
    model = small_linear()
    tensor(model, PACKED).dims.extend([1] * 100)
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        check(model)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_graph_is_rejected_or_has_4_bit_weights(changes: list[tuple[int, int]]):
    damaged = bytearray(SMALL)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    try:
        check(bytes(damaged))
    except BundleError:
        return
    with contextlib.suppress(DecodeError):  # an unreadable graph has no weights
        assert_4_bits(onnx.ModelProto.FromString(bytes(damaged)))


SMALL = small_linear().SerializeToString()


def assert_4_bits(model: onnx.ModelProto) -> None:
    """Check with protobuf's parser that every uint8 tensor is read by one node, which takes its bytes as 4 bits."""
    assert not model.functions
    for each in model.graph.initializer:
        if each.data_type != TensorProto.UINT8 or len(each.raw_data) <= 1:
            continue
        (reader,) = (node for node in model.graph.node if each.name in node.input)
        assert (reader.domain, reader.op_type) == (DOMAIN, OPERATOR)
        found = {attribute.name: attribute.i for attribute in reader.attribute if attribute.type == AttributeProto.INT}
        assert (found["bits"], found["block_size"], len(reader.attribute)) == (4, 128, 5)
        blocks = -(-found["K"] // 128)
        size = blocks * 64 if list(reader.input).index(each.name) == 1 else -(-blocks // 2)
        assert len(each.raw_data) == found["N"] * size
