"""Tests of the layers of a graph: operations, wires and precision."""

import numpy as np
import onnx
from graphs import image_model, weights
from onnx import helper

from edgecnn.bundle.store import Bundle
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.graph import read_graph
from edgecnn.explaining.layers import GraphLayer, layers_of

node = helper.make_node
CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


def layers(model: onnx.ModelProto | bytes) -> list[GraphLayer]:
    graph = read_graph(model if isinstance(model, bytes) else model.SerializeToString())
    return list(layers_of(graph, Constants(graph)))


def of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> dict[str, GraphLayer]:
    return {each.id: each for each in layers(image_model(nodes, constants))}


def test_lenet_in_fp32_and_int8_has_the_same_layers(fp32_bundle: Bundle, committed: Bundle):
    both = [layers(each.model.read_bytes()) for each in (fp32_bundle, committed)]
    assert [each.operation for each in both[0]] == [
        *("normalize", "conv", "relu", "max_pool", "conv", "relu", "max_pool", "other", "linear"),
        *("relu", "linear", "relu", "linear"),
    ]
    for own, other in zip(*both, strict=True):
        assert (own.id, own.operation, own.kind, own.inputs) == (other.id, other.operation, other.kind, other.inputs)
        assert (own.window, own.field, own.parameters) == (other.window, other.field, other.parameters)
    assert [each.inputs for each in both[1][:2]] == [(), ("normalize/BatchNormalization",)]
    assert {each.precision for each in both[0]} == {"float32"}
    assert [each.precision for each in both[1]].count("int8") >= 6
    convolution, relu = both[1][1], both[1][2]
    assert (convolution.tensor, convolution.is_inner) == (convolution.id, True)
    assert (relu.tensor, relu.is_inner) == (f"{relu.id}/dequantized", False)
    assert both[0][1].node.name.rpartition("/")[0] == "conv1"


def test_lenet_in_4_bits_has_the_same_layers(fp32_bundle: Bundle, int4_bundle: Bundle):
    both = [layers(each.model.read_bytes()) for each in (fp32_bundle, int4_bundle)]
    for own, other in zip(*both, strict=True):
        assert (own.id, own.operation, own.kind, own.inputs) == (other.id, other.operation, other.kind, other.inputs)
        assert (own.parameters, own.output_axis) == (other.parameters, other.output_axis)
    (packed,) = [each for each in both[1] if each.precision == "int4"]
    assert (packed.node.name, packed.bias) == ("fc1/MatMulNBits", "fc1.bias")
    graphs = [read_graph(each.model.read_bytes()) for each in (fp32_bundle, int4_bundle)]
    original, rounded = (Constants(graphs[i]).values(name) for i, name in ((0, "fc1.weight"), (1, packed.weights)))
    assert original is not None
    assert rounded is not None
    assert rounded.shape == original.shape == Constants(graphs[1]).shape(packed.weights)
    assert np.sqrt(np.mean((rounded - original) ** 2)) < 0.3 * original.std()


def test_a_max_with_zero_is_a_relu_and_others_are_not():
    nodes = [
        node("Conv", ["x", "w"], ["c"], **CONV),
        node("Max", ["c", "zero"], ["relu"]),
        node("Max", ["relu", "one"], ["max"]),
        node("Max", ["c", "max"], ["two"]),
    ]
    constants = {"w": weights(4, 3, 3, 3), "zero": np.float32(0), "one": np.float32(1)}
    found = of(nodes, constants)
    assert [found[name].operation for name in ("relu", "max", "two")] == ["relu", "other", "other"]
    assert found["two"].inputs == ("c", "max")


def test_a_product_and_its_bias_are_one_layer():
    nodes = [
        node("GlobalAveragePool", ["x"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "w"], ["product"]),
        node("Add", ["bias", "product"], ["logits"]),
    ]
    found = of(nodes, {"w": weights(3, 5), "bias": weights(5)})
    assert "product" not in found
    assert (found["logits"].operation, found["logits"].parameters, found["logits"].bias) == ("linear", 20, "bias")
    assert found["logits"].inputs == ("f",)


def test_unknown_operators_and_other_shapes_have_wires():
    nodes = [
        node("Conv", ["x", "w"], ["c"], **CONV),
        node("GlobalAveragePool", ["c"], ["squeezed"]),
        node("HardSigmoid", ["squeezed"], ["gate"]),
        node("Mul", ["c", "gate"], ["excited"]),
        node("Shape", ["excited"], ["size"]),
        node("Gather", ["size", "zero"], ["batch"], axis=0),
        node("Concat", ["batch", "rest"], ["target"], axis=0),
        node("Reshape", ["excited", "target"], ["tokens"]),
        node("Transpose", ["tokens"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["tokens", "turned"], ["attention"]),
        node("Softmax", ["attention"], ["soft"], axis=-1),
        node("Mul", ["soft", "two"], ["scaled"]),
        node("Split", ["scaled"], ["one", "other"], axis=1, num_outputs=2),
        node("NoSuchOperator", ["one", "other"], ["logits"]),
    ]
    constants = {"w": weights(4, 3, 3, 3), "zero": np.array([0]), "rest": np.array([4, -1]), "two": np.float32(2)}
    found = of(nodes, constants)
    assert not {"size", "batch", "target", "other"} & found.keys()
    operations = {name: found[name].operation for name in ("gate", "excited", "attention", "soft", "scaled", "logits")}
    assert operations == {
        "gate": "activation",
        "excited": "multiply",
        "attention": "other",
        "soft": "softmax",
        "scaled": "other",
        "logits": "other",
    }
    assert found["attention"].inputs == ("tokens", "turned")
    assert found["logits"].inputs == ("one",)
    assert found["c"].field is not None
    assert found["excited"].field is None  # the gate reads the whole image
    assert found["logits"].kind == "NoSuchOperator"


def test_batch_norms_that_are_not_folded_are_layers():
    names = ("gain", "shift", "mean", "variance")
    nodes = [
        node("Conv", ["x", "w"], ["c"], **CONV),
        node("BatchNormalization", ["c", *names], ["n"]),
        node("ReduceMean", ["n", "axes"], ["logits"], keepdims=0),
    ]
    constants = {"w": weights(4, 3, 3, 3), "axes": np.array([2, 3])} | {name: np.ones(4, np.float32) for name in names}
    assert [each.operation for each in of(nodes, constants).values()][-3:] == [
        "conv",
        "batch_norm",
        "global_average_pool",
    ]


def test_depthwise_convolutions_and_clips_are_described():
    nodes = [
        node("Conv", ["x", "w"], ["c"], group=3, **CONV),
        node("Clip", ["c", "low", "high"], ["relu6"]),
        node("Clip", ["relu6", "low"], ["clip"]),
        node("ReduceMean", ["clip", "axes"], ["logits"], keepdims=0),
    ]
    constants = {"w": weights(3, 1, 3, 3), "low": np.float32(0), "high": np.float32(6), "axes": np.array([-1, 2])}
    found = of(nodes, constants)
    assert found["c"].kind == "Conv 3×3, 3 groups"
    assert [found[name].kind for name in ("relu6", "clip")] == ["Clip 0 to 6", "Clip"]
    assert found["logits"].operation == "global_average_pool"
    assert found["logits"].field is None
