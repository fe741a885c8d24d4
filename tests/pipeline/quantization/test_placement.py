"""Where Q/DQ pairs stand around the operators of residual networks and inception modules."""

import onnx
from onnx import TensorProto, helper

from edgecnn.pipeline.quantization.placement import place


def graph(nodes: list[onnx.NodeProto], constants: tuple[str, ...], size: int = 1 << 17) -> onnx.GraphProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 2, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    initializers = [onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[size]) for name in constants]
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


def test_a_small_last_layer_stays_in_float_and_the_layer_before_it_runs_in_int8():
    nodes = [
        helper.make_node("Gemm", ["image", "w1", "b1"], ["g1"], "fc1/Gemm"),
        helper.make_node("Relu", ["g1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["logits"], "fc2/Gemm"),
    ]
    found = place(graph(nodes, ("w1", "b1", "w2", "b2"), size=1 << 15))
    assert found.weights == ("w1",)
    assert found.activations == {"image": "image"}  # its sums are floats: rounding them again would gain nothing
    assert found.float_relus == {"r1"}
    assert "last layer" in found.float_tensors["w2"]
    assert not found.exact


def test_a_linear_layer_before_one_in_int8_is_quantized():
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


def test_a_convolution_before_a_float_operator_still_runs_in_int8():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("ReduceMean", ["c1"], ["mean"]),
        helper.make_node("Gemm", ["mean", "w2"], ["logits"]),
    ]
    assert set(place(graph(nodes, ("w1", "w2"), size=840)).activations) == {"image", "c1"}


def test_a_sum_before_a_float_operator_stays_in_float_and_what_it_adds_is_quantized():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Add", ["c1", "image"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r1"]),
        helper.make_node("ReduceMean", ["r1"], ["mean"]),
        helper.make_node("Gemm", ["mean", "w2"], ["logits"]),
    ]
    found = place(graph(nodes, ("w1", "w2"), size=840))
    assert set(found.activations) == {"image", "c1"}
    assert not found.float_relus  # an engine takes such a ReLU into the sum


def test_a_layer_left_in_float_sees_its_input_in_float_while_others_see_it_quantized():
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
