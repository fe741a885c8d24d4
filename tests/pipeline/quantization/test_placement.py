"""Placement of Q/DQ pairs in residual networks and inception modules."""

import onnx
from onnx import TensorProto, helper

from edgecnn.pipeline.quantization.placement import place


def graph(nodes: list[onnx.NodeProto], constants: tuple[str, ...], size: int = 1 << 17) -> onnx.GraphProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 2, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    initializers = [onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[size]) for name in constants]
    return helper.make_graph(nodes, "test", [image], [logits], initializers)


def test_quantizes_a_residual_block():
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"]),
        helper.make_node("Add", ["c2", "r1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"]),
    ]
    found = place(graph(nodes, ("w1", "b1", "w2", "b2", "w3", "b3")))
    assert found.activations == {
        "image": "image",
        "r1": "r1",
        "c2": "c2",
        "r2": "r2",
        "pooled": "pooled",
        "flat": "pooled",  # flattening changes no value
    }
    assert found.weights == ("w1", "w2", "w3")
    assert found.biases == {"b1": ("image", "w1"), "b2": ("r1", "w2"), "b3": ("flat", "w3")}
    assert set(found.float_tensors) == {"logits"}


def test_quantizes_an_inception_module():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["image"], ["m"], kernel_shape=[3, 3]),
        helper.make_node("Conv", ["m", "w2"], ["c2"]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Concat", ["r1", "r2"], ["joined"], axis=1),
        helper.make_node("AveragePool", ["joined"], ["pooled"], kernel_shape=[2, 2]),
        helper.make_node("Gemm", ["pooled", "w3"], ["logits"]),
    ]
    found = place(graph(nodes, ("w1", "w2", "w3")))
    assert found.activations == {
        "image": "image",
        "r1": "r1",
        "m": "image",  # a maximum of quantized values is a quantized value
        "r2": "r2",
        "joined": "joined",
        "pooled": "pooled",
    }


def test_small_last_layer_stays_in_float():
    nodes = [
        helper.make_node("Gemm", ["image", "w1", "b1"], ["g1"], "fc1/Gemm"),
        helper.make_node("Relu", ["g1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["logits"], "fc2/Gemm"),
    ]
    found = place(graph(nodes, ("w1", "b1", "w2", "b2"), size=1 << 15))
    assert found.weights == ("w1",)
    assert found.activations == {"image": "image"}  # its sums are float: quantizing them gains nothing
    assert found.float_relus == {"r1"}
    assert "last layer" in found.float_tensors["w2"]
    assert not found.exact


def test_quantizes_consecutive_linear_layers():
    nodes = [
        helper.make_node("Gemm", ["image", "w1", "b1"], ["g1"], "fc1/Gemm"),
        helper.make_node("Relu", ["g1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["g2"], "fc2/Gemm"),
        helper.make_node("Relu", ["g2"], ["r2"]),
        helper.make_node("Gemm", ["r2", "w3", "b3"], ["logits"], "fc3/Gemm"),
    ]
    found = place(graph(nodes, ("w1", "b1", "w2", "b2", "w3", "b3"), size=1 << 15), {"fc3": "asked"})
    assert found.activations == {"image": "image", "r1": "r1"}
    assert found.float_relus == {"r2"}


def test_quantizes_before_a_float_operator():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("ReduceMean", ["c1"], ["mean"]),
        helper.make_node("Gemm", ["mean", "w2"], ["logits"]),
    ]
    assert set(place(graph(nodes, ("w1", "w2"), size=840)).activations) == {"image", "c1"}


def test_sum_before_a_float_operator_is_float():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Add", ["c1", "image"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r1"]),
        helper.make_node("ReduceMean", ["r1"], ["mean"]),
        helper.make_node("Gemm", ["mean", "w2"], ["logits"]),
    ]
    found = place(graph(nodes, ("w1", "w2"), size=840))
    assert set(found.activations) == {"image", "c1"}
    assert not found.float_relus  # an engine fuses this ReLU into the sum


def test_float_layers_read_float_inputs():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "first/Conv"),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], "left/Conv"),
        helper.make_node("Conv", ["c1", "w3"], ["c3"], "right/Conv"),
        helper.make_node("Add", ["c2", "c3"], ["logits"]),
    ]
    shared = place(graph(nodes, ("w1", "w2", "w3")), {"left": "asked"})
    assert shared.weights == ("w1", "w3")
    assert shared.float_tensors["w2"] == "asked"
    assert "c1" in shared.activations
    assert shared.exact == {"c2"}
    alone = place(graph(nodes, ("w1", "w2", "w3")), {"left": "asked", "right": "asked"})
    assert "c1" not in alone.activations
