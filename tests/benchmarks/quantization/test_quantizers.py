"""The peers' graphs, and the operators that an engine runs in INT8."""

import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.quantization.operators import layers_on
from benchmarks.quantization.quantizers import DISTINCT, QUANTIZERS, recent
from edgecnn.bundle.store import Bundle


@pytest.mark.parametrize("opset", [9, 13, 18])
def test_converts_old_opsets_only(opset: int):
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "it", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    assert recent(model).opset_import[0].version == max(opset, 13)
    assert model.opset_import[0].version == opset


def test_edgecnn_is_the_first_quantizer():
    assert next(iter(QUANTIZERS)) == DISTINCT[0] == "edgecnn"
    assert set(DISTINCT) <= set(QUANTIZERS)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_counts_operators(engine: str, committed: Bundle):
    found = layers_on(engine, onnx.load(str(committed.model)))
    convolution, linear = {
        "onnxruntime": ("QLinearConv", "QGemm"),
        "openvino": ("Convolution", "FullyConnected"),
    }[engine]
    assert (found[convolution, True], found[linear, True]) == (2, 1)
    assert not any(kind in ("Transpose", "Reshape") for kind, _ in found)
