"""Where Q/DQ pairs stand around the operators of residual networks and inception modules."""

import onnx
from onnx import TensorProto, helper

from edgecnn.pipeline.quantization.placement import place


def graph(nodes: list[onnx.NodeProto], constants: tuple[str, ...]) -> onnx.GraphProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 2, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    initializers = [helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0]) for name in constants]
    return helper.make_graph(nodes, "test", [image], [logits], initializers)


def test_a_residual_block_quantizes_both_inputs_of_its_sum_and_nothing_before_its_relu():
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


def test_the_branches_of_an_inception_module_are_quantized_before_and_after_their_concatenation():
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
        "m": "image",  # the largest of quantized values is one of them
        "r2": "r2",
        "joined": "joined",
        "pooled": "pooled",
    }
