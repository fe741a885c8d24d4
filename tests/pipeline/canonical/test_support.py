"""Graphs that cannot be quantized: one line with the node's name."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecnn.errors import EngineError, UnsupportedOperator
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.options import QuantizationOptions
from tests.support.graphs import CLASSES, image_model, images, weights

node = helper.make_node
PADS = {"pads": [1, 1, 1, 1]}
CONSTANTS = {"w": weights(8, 3, 3, 3), "fc": weights(CLASSES, 8)}
HEAD = [
    node("GlobalAveragePool", ["c"], ["g"], "average"),
    node("Flatten", ["g"], ["flat"], "flat"),
    node("Gemm", ["flat", "fc"], ["logits"], "fc/Gemm", transB=1),
]


def network(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """Return a graph; the nodes return `c`, [N, 8, H, W]."""
    return image_model([*nodes, *HEAD], CONSTANTS | constants)


def usual() -> onnx.ModelProto:
    return network(node("Conv", ["x", "w"], ["c"], "stem/Conv", **PADS))


def quantized() -> onnx.ModelProto:
    return build(usual(), images(), options=QuantizationOptions(rounding="nearest")).model


def half() -> onnx.ModelProto:
    cast = node("Cast", ["x"], ["h"], "cast", to=TensorProto.FLOAT16)
    back = node("Cast", ["c16"], ["c"], "back", to=TensorProto.FLOAT)
    conv = node("Conv", ["h", "w16"], ["c16"], "stem/Conv", **PADS)
    return network(cast, conv, back, w16=CONSTANTS["w"].astype(np.float16))


def conditional() -> onnx.ModelProto:
    branches = {
        f"{name}_branch": helper.make_graph([node(kind, ["c1"], [name])], name, [], [onnx.ValueInfoProto(name=name)])
        for name, kind in (("then", "Relu"), ("else", "Neg"))
    }
    return network(
        node("Conv", ["x", "w"], ["c1"], "stem/Conv", **PADS),
        node("ReduceMax", ["x"], ["largest"], keepdims=0),
        node("Cast", ["largest"], ["is_bright"], to=TensorProto.BOOL),
        node("If", ["is_bright"], ["c"], "stem/If", **branches),
    )


def custom() -> onnx.ModelProto:
    model = network(node("MyConv", ["x", "w"], ["c"], "stem/MyConv", domain="com.example"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def external() -> onnx.ModelProto:
    model = usual()
    tensor = next(each for each in model.graph.initializer if each.name == "w")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return model


def sparse() -> onnx.ModelProto:
    model = usual()
    model.graph.sparse_initializer.append(onnx.SparseTensorProto())
    return model


def of_floats() -> onnx.ModelProto:
    model = usual()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def with_two_outputs() -> onnx.ModelProto:
    model = usual()
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, ["N", 8, 12, 12]))
    return model


def with_opset(version: int) -> onnx.ModelProto:
    model = usual()
    model.opset_import[0].version = version
    return model


def without_opset() -> onnx.ModelProto:
    model = usual()
    del model.opset_import[:]
    return model


def without_layers() -> onnx.ModelProto:
    return network(
        node("Gather", ["x", "channels"], ["c"], "stem/Gather", axis=1), channels=np.array([0, 1, 2, 0, 1, 2, 0, 1])
    )


def with_computed_weights() -> onnx.ModelProto:
    model = network(
        node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        node("Mul", ["w", "mean"], ["scaled"]),
        node("Conv", ["x", "scaled"], ["c"], "stem/Conv", **PADS),
        axes=np.array([0, 1, 2, 3]),
    )
    del model.graph.node[-1]
    model.graph.node[-1].output[0] = "logits"
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8
    return model


def with_an_unknown_operator() -> onnx.ModelProto:
    return network(node("Konv", ["x", "w"], ["c"], "stem/Konv"))


def with_a_missing_tensor() -> onnx.ModelProto:
    return network(node("Conv", ["nothing", "w"], ["c"], "stem/Conv", **PADS))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (quantized, r"\((Deq|Q)uantizeLinear\): the graph is quantized already; take the float model"),
        (half, r"the weights 'w16' are float16, expected float32: export the network in float32"),
        (conditional, r"stem/If \(If\) is control flow"),
        (custom, r"stem/MyConv \(MyConv\) is an operator of the domain 'com\.example', expected standard"),
        (external, r"the weights 'w' are in another file: embed them"),
        (sparse, r"the graph has sparse weights"),
        (of_floats, r"the input 'image' is float with 4 dimensions, expected uint8 \[N, H, W, C\]"),
        (with_two_outputs, r"1 inputs and 2 outputs, expected one image and its logits"),
        (lambda: with_opset(6), r"has the opset 6, expected 7 to \d+"),
        (lambda: with_opset(999), r"has the opset 999, expected 7 to \d+"),
        (without_opset, r"opset of no standard domain, expected 7"),
        (without_layers, r"no layer of this network can be quantized"),
        (with_computed_weights, r"no 2-D convolution with constant weights"),
        (with_an_unknown_operator, r"stem/Konv \(Konv\) is not an operator of ONNX's opset 18"),
        (with_a_missing_tensor, r"nothing|canonical form"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_reports_what_cannot_be_quantized(make: Callable[[], onnx.ModelProto], message: str):
    with pytest.raises(UnsupportedOperator, match=message) as failed:
        build(make(), images(), options=QuantizationOptions())
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 400


def test_reports_weights_of_another_shape():
    model = network(node("Conv", ["x", "w"], ["c"], "stem/Conv", **PADS), w=weights(8, 5, 3, 3))
    with pytest.raises(EngineError, match="Input channels C is not equal to kernel channels"):
        build(model, images(), options=QuantizationOptions())
