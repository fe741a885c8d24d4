"""Placement of Q/DQ pairs in residual networks and inception modules."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecnn.pipeline.quantization.placement import place


def graph(nodes: list[onnx.NodeProto], constants: tuple[str, ...], size: int = 1 << 17) -> onnx.GraphProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 2, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    initializers = [
        onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[size, 1, 1, 1]) for name in constants
    ]
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
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], transB=1),
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
        helper.make_node("Gemm", ["pooled", "w3"], ["logits"], transB=1),
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
        helper.make_node("Gemm", ["image", "w1", "b1"], ["g1"], "fc1/Gemm", transB=1),
        helper.make_node("Relu", ["g1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["logits"], "fc2/Gemm", transB=1),
    ]
    found = place(graph(nodes, ("w1", "b1", "w2", "b2"), size=1 << 15))
    assert found.weights == ("w1",)
    assert found.activations == {"image": "image"}  # its sums are float: quantizing them gains nothing
    assert found.float_relus == {"r1"}
    assert "last layer" in found.float_tensors["w2"]
    assert not found.exact


def test_quantizes_consecutive_linear_layers():
    nodes = [
        helper.make_node("Gemm", ["image", "w1", "b1"], ["g1"], "fc1/Gemm", transB=1),
        helper.make_node("Relu", ["g1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["g2"], "fc2/Gemm", transB=1),
        helper.make_node("Relu", ["g2"], ["r2"]),
        helper.make_node("Gemm", ["r2", "w3", "b3"], ["logits"], "fc3/Gemm", transB=1),
    ]
    found = place(graph(nodes, ("w1", "b1", "w2", "b2", "w3", "b3"), size=1 << 15), {"fc3": "asked"})
    assert found.activations == {"image": "image", "r1": "r1"}
    assert found.float_relus == {"r2"}


def test_quantizes_before_a_float_operator():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("ReduceMean", ["c1"], ["mean"]),
        helper.make_node("Gemm", ["mean", "w2"], ["logits"], transB=1),
    ]
    assert set(place(graph(nodes, ("w1", "w2"), size=840)).activations) == {"image", "c1"}


def test_sum_before_a_float_operator_is_float():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Add", ["c1", "image"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r1"]),
        helper.make_node("ReduceMean", ["r1"], ["mean"]),
        helper.make_node("Gemm", ["mean", "w2"], ["logits"], transB=1),
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


def test_fuses_relu6_and_quantizes_before_other_activations():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Clip", ["c1", "zero", "six"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"]),
        helper.make_node("HardSwish", ["c2"], ["h2"]),
        helper.make_node("Conv", ["h2", "w3"], ["c3"]),
        helper.make_node("Clip", ["c3", "minus_one", "six"], ["r3"]),
        helper.make_node("Conv", ["r3", "w4"], ["logits"]),
    ]
    model = graph(nodes, ("w1", "w2", "w3", "w4"))
    limits = {"zero": 0.0, "six": 6.0, "minus_one": -1.0}
    model.initializer.extend(numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in limits.items())
    found = place(model)
    assert set(found.activations) == {"image", "r1", "c2", "h2", "c3", "r3"}
    assert found.float_tensors["h2"] == "HardSwish: no INT8 form that both engines support"


def test_leaves_integers_and_constants_alone():
    nodes = [
        helper.make_node("Shape", ["image"], ["sizes"]),
        helper.make_node("Add", ["sizes", "sizes"], ["twice"]),
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Mul", ["c1", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "c1"], ["sum"]),
        helper.make_node("Conv", ["sum", "w2"], ["logits"]),
    ]
    model = graph(nodes, ("w1", "w2", "half"))
    model.value_info.extend(helper.make_tensor_value_info(name, TensorProto.INT64, [4]) for name in ("sizes", "twice"))
    assert set(place(model).activations) == {"image", "c1", "halved", "sum"}


def test_quantizes_a_gate():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("GlobalAveragePool", ["c1"], ["pooled"]),
        helper.make_node("Conv", ["pooled", "small"], ["squeezed"]),
        helper.make_node("HardSigmoid", ["squeezed"], ["gate"]),
        helper.make_node("Mul", ["c1", "gate"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w2"], ["logits"]),
    ]
    model = graph(nodes, ("w1", "w2"))
    model.initializer.append(onnx.TensorProto(name="small", data_type=TensorProto.FLOAT, dims=[8, 8, 1, 1]))
    model.value_info.append(helper.make_tensor_value_info("squeezed", TensorProto.FLOAT, [None, 8, 1, 1]))
    found = place(model)
    assert set(found.activations) == {"image", "c1", "pooled", "gate", "scaled"}
    assert found.float_tensors["small"] == "small linear layer: too few weights for a speed gain in INT8"


def test_moved_values_keep_their_scale():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Split", ["c1"], ["left", "right"], axis=1, num_outputs=2),
        helper.make_node("Transpose", ["right"], ["turned"], perm=[0, 1, 3, 2]),
        helper.make_node("Conv", ["turned", "w2"], ["c2"]),
        helper.make_node("Concat", ["left", "c2"], ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "w3"], ["logits"]),
    ]
    found = place(graph(nodes, ("w1", "w2", "w3"))).activations
    assert [found[name] for name in ("left", "right", "turned", "c2", "joined")] == ["c1", "c1", "c1", "c2", "joined"]


def test_small_layers_between_quantized_layers_read_floats():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("GlobalAveragePool", ["c1"], ["pooled"]),
        helper.make_node("Conv", ["pooled", "small"], ["squeezed"]),
        helper.make_node("Relu", ["squeezed"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["logits"]),
    ]
    model = graph(nodes, ("w1", "w2"))
    model.initializer.append(onnx.TensorProto(name="small", data_type=TensorProto.FLOAT, dims=[8, 8, 1, 1]))
    model.value_info.append(helper.make_tensor_value_info("squeezed", TensorProto.FLOAT, [None, 8, 1, 1]))
    found = place(model)
    assert set(found.activations) == {"image", "c1", "r"}
    assert "squeezed" in found.exact


def test_silu_is_one_float_operator():
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"]),
        helper.make_node("Sigmoid", ["c1"], ["s1"]),
        helper.make_node("Mul", ["c1", "s1"], ["m1"]),
        helper.make_node("Conv", ["m1", "w2"], ["logits"]),
    ]
    assert set(place(graph(nodes, ("w1", "w2"))).activations) == {"image", "c1", "m1"}
