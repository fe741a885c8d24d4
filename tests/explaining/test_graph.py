"""Tests of the reader of ONNX graphs, against the ONNX package."""

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_files import paddle_style, tf2onnx_style, torch_style
from repository import COMMITTED

from edgecnn.explaining.constants import Constants
from edgecnn.explaining.graph import Constant, Graph, read_graph, with_outputs

COMMITTED_MODEL = (COMMITTED / "model.onnx").read_bytes()
FILES = {
    "int8": COMMITTED_MODEL,
    "torch": torch_style().SerializeToString(),
    "tensorflow": tf2onnx_style().SerializeToString(),
    "paddle": paddle_style().SerializeToString(),
}


def expected(attribute: onnx.AttributeProto) -> object:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else tuple(value) if hasattr(value, "__len__") else value


def same(found: object, wanted: object) -> bool:
    if isinstance(found, Constant):
        values = found.values()
        return values is not None and np.array_equal(values, wanted)
    return found == wanted


@pytest.mark.parametrize("name", FILES)
def test_reads_nodes_and_constants(name: str):
    model = onnx.ModelProto.FromString(FILES[name])
    graph = read_graph(FILES[name])
    assert len(graph.nodes) == len(model.graph.node) > 5
    for found, node in zip(graph.nodes, model.graph.node, strict=True):
        assert (found.operator, found.name) == (node.op_type, node.name)
        assert (found.inputs, found.outputs) == (tuple(node.input), tuple(node.output))
        for attribute in node.attribute:
            assert same(found.attributes[attribute.name], expected(attribute)), attribute.name
    for tensor in model.graph.initializer:
        values = graph.constants[tensor.name].values()
        assert np.array_equal(values, numpy_helper.to_array(tensor))
        assert values.dtype == numpy_helper.to_array(tensor).dtype


def test_reads_packed_and_negative_numbers():
    packed = onnx.ModelProto.FromString(FILES["torch"])
    packed.graph.node[0].attribute.append(helper.make_attribute("axes", [-1, -(2**62), 5]))
    (graph,) = [read_graph(packed.SerializeToString())]
    assert graph.nodes[0].numbers("axes") == (-1, -(2**62), 5)
    dims = Constant("w", (2, 2), 1, memoryview(np.arange(4, dtype=np.float32).tobytes()))
    assert dims.values().tolist() == [[0, 1], [2, 3]]
    assert Constant("w", (3, 3), 1, dims.raw).values() is None
    assert Constant("w", (4,), 99, dims.raw).values() is None


@pytest.mark.parametrize("name", FILES)
def test_added_outputs_follow_the_graphs_own(name: str):
    before = onnx.ModelProto.FromString(FILES[name])
    names = [node.output[0] for node in before.graph.node]
    after = onnx.ModelProto.FromString(with_outputs(FILES[name], names))
    assert [each.name for each in after.graph.output] == [before.graph.output[0].name, *names]
    del after.graph.output[1:]
    assert after == before


def test_dequantizes_weights():
    constants = Constants(read_graph(COMMITTED_MODEL))
    model = onnx.ModelProto.FromString(COMMITTED_MODEL)
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    name = "conv1.weight/dequantized"
    scale = stored["conv1.weight/scale"].reshape(-1, 1, 1, 1)
    assert np.array_equal(constants.values(name), stored["conv1.weight/quantized"].astype(np.float32) * scale)
    assert constants.is_integer(name)
    assert constants.shape(name) == (6, 1, 5, 5)
    assert constants.values("no such constant") is None


@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), max_size=4))
def test_damaged_graphs_raise_only_value_errors(name: str, changes: list[tuple[int, int]]):
    damaged = bytearray(FILES[name])
    for at, value in changes:
        damaged[at % len(damaged)] = value
    with contextlib.suppress(ValueError):  # any other error fails the test
        assert isinstance(read_graph(bytes(damaged)), Graph)
