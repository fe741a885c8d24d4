"""Graphs as different exporters write them have one canonical form, with the same logits."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgecnn.errors import UnsupportedOperator
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.canonical.nodes import attribute, is_layer, module_of
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.checks import check_equal
from edgecnn.pipeline.quantization.options import QuantizationOptions
from tests.support.graphs import CLASSES, image_model, images, weights

node = helper.make_node
FEATURES = 8 * 12 * 12
HEAD = [node("Flatten", ["c"], ["flat"]), node("Gemm", ["flat", "fc", "fc_bias"], ["logits"], transB=1)]
HEAD_CONSTANTS = {"fc": weights(CLASSES, FEATURES), "fc_bias": weights(CLASSES)}
CONV = {"w": weights(8, 3, 3, 3), "b": weights(8)}


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the canonical form, after checks that hold for every graph."""
    found = canonicalise(model)
    check_equal(model, found, images())
    constants = {each.name: each for each in found.graph.initializer}
    layers = [each for each in found.graph.node if is_layer(each, constants)]
    assert layers
    assert all(list(constants[layer.input[2]].dims) == [constants[layer.input[1]].dims[0]] for layer in layers)
    assert len({module_of(layer) for layer in layers}) == len(layers)
    names = Counter(each.name for each in found.graph.node)
    assert "" not in names
    assert set(names.values()) == {1}
    uses = Counter(name for layer in layers for name in layer.input[1:])
    assert set(uses.values()) == {1}
    assert {each.name for each in found.graph.initializer} == {
        name for each in found.graph.node for name in each.input if name in constants
    }
    assert not {"Constant", "Identity", "Dropout"} & {each.op_type for each in found.graph.node}
    for layer in layers:
        if layer.op_type == "Conv":
            assert attribute(layer, "kernel_shape", None) is not None
            assert attribute(layer, "auto_pad", b"NOTSET") == b"NOTSET"
        else:
            assert attribute(layer, "transB", 0) == 1
    return found


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(each.op_type for each in model.graph.node)


def with_head(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], **options: int) -> onnx.ModelProto:
    """Return a graph whose nodes return `c`, [N, 8, 12, 12], before a linear layer."""
    return image_model([*nodes, *HEAD], constants | HEAD_CONSTANTS, **options)


def test_constant_nodes_become_initializers():
    constant = node("Constant", [], ["w"], value=numpy_helper.from_array(CONV["w"]))
    model = with_head([constant, node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])], {"b": CONV["b"]})
    assert kinds(canonical(model))["Conv"] == 1


@pytest.mark.parametrize(
    ("options", "fc"),
    [
        ({}, weights(FEATURES, CLASSES)),
        ({"transB": 1, "alpha": 0.5, "beta": 2.0}, weights(CLASSES, FEATURES)),
        ({"alpha": 2.0}, weights(FEATURES, CLASSES)),
    ],
    ids=["transB 0", "factors", "both"],
)
@pytest.mark.parametrize("bias", [weights(CLASSES), weights(1, CLASSES), np.float32(0.25), None], ids=repr)
def test_gemm_has_one_form(options: dict[str, float], fc: np.ndarray, bias: np.ndarray | None):
    inputs = ["flat", "fc", *(["fc_bias"] if bias is not None else [])]
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Flatten", ["c"], ["flat"]),
        node("Gemm", inputs, ["logits"], **options),
    ]
    constants = CONV | {"fc": fc} | ({} if bias is None else {"fc_bias": bias})
    found = canonical(image_model(nodes, constants))
    (gemm,) = [each for each in found.graph.node if each.op_type == "Gemm"]
    assert len(gemm.input) == 3


@pytest.mark.parametrize("first", ["product", "fc_bias", None])
def test_a_matrix_product_and_its_bias_become_gemm(first: str | None):
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Flatten", ["c"], ["flat"]),
        node("MatMul", ["flat", "fc"], ["product" if first else "logits"]),
    ]
    if first:
        other = "fc_bias" if first == "product" else "product"
        nodes.append(node("Add", [first, other], ["logits"]))
    constants = CONV | {"fc": weights(FEATURES, CLASSES), "fc_bias": weights(CLASSES)}
    found = kinds(canonical(image_model(nodes, constants)))
    assert (found["Gemm"], found["MatMul"], found["Add"]) == (1, 0, 0)


def test_a_product_in_the_middle_of_a_map_becomes_gemm():
    nodes = [
        node("Conv", ["x", "w", "b"], ["c1"], pads=[1, 1, 1, 1]),
        node("Transpose", ["c1"], ["last"], perm=[0, 2, 3, 1]),
        node("MatMul", ["last", "mix"], ["mixed"]),
        node("Add", ["mixed", "mix_bias"], ["moved"]),
        node("Transpose", ["moved"], ["c"], perm=[0, 3, 1, 2]),
    ]
    found = canonical(with_head(nodes, CONV | {"mix": weights(8, 8), "mix_bias": weights(8)}))
    assert kinds(found)["Gemm"] == 2


def two_convolutions(second: list[str]) -> onnx.ModelProto:
    nodes = [
        node("Conv", ["x", "w1", "b"], ["c1"], "first", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("Conv", ["r1", *second], ["c"], "second", pads=[1, 1, 1, 1]),
    ]
    constants = {"w1": weights(8, 3, 3, 3), "w2": weights(8, 8, 3, 3), "b": 10 * weights(8)}
    if second[0] == "w1":
        nodes[1] = node("Slice", ["c1", "start", "end", "axis"], ["r1"], "channels")
        constants |= {name: np.array([value], np.int64) for name, value in (("start", 0), ("end", 3), ("axis", 1))}
        del constants["w2"]
    return with_head(nodes, constants)


@pytest.mark.parametrize("second", [["w2", "b"], ["w1", "b"], ["w1"]], ids=["bias", "both", "weights"])
def test_shared_constants_are_split(second: list[str]):
    found = canonical(two_convolutions(second))
    first, last = [each for each in found.graph.node if each.op_type == "Conv"]
    assert not set(first.input[1:]) & set(last.input[1:])


def test_a_shared_bias_does_not_change_the_result():
    shared = two_convolutions(["w2", "b"])
    own = onnx.ModelProto()
    own.CopyFrom(shared)
    own.graph.initializer.append(numpy_helper.from_array(10 * weights(8), "own"))
    next(each for each in own.graph.node if each.name == "second").input[2] = "own"
    graphs = [build(model, images(), options=QuantizationOptions()).model for model in (shared, own)]
    values = [sorted(each.raw_data for each in graph.graph.initializer) for graph in graphs]
    assert values[0] == values[1]


def windowed(kind: str, **window: object) -> onnx.ModelProto:
    """Return a graph with one more convolution, or a pooling."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c1"], pads=[1, 1, 1, 1]),
        node(kind, ["c1", *(["k"] if kind == "Conv" else [])], ["c2"], "window", **window),
        node("GlobalAveragePool", ["c2"], ["g"]),
        node("Flatten", ["g"], ["flat"]),
        node("Gemm", ["flat", "fc"], ["logits"], transB=1),
    ]
    constants = CONV | {"fc": weights(CLASSES, 8)}
    return image_model(nodes, constants | ({"k": weights(8, 8, *window["kernel_shape"])} if kind == "Conv" else {}))


@pytest.mark.parametrize("padding", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 3), (2, 2), (3, 5), (1, 2)])
@pytest.mark.parametrize("kind", ["Conv", "MaxPool", "AveragePool"])
def test_automatic_padding_is_written_out(padding: str, stride: int, kernel: int, kind: str):
    model = windowed(kind, strides=[stride] * 2, auto_pad=padding, kernel_shape=[kernel] * 2)
    assert all(attribute(each, "auto_pad", b"NOTSET") == b"NOTSET" for each in canonical(model).graph.node)


def test_automatic_padding_includes_dilations():  # ONNX Runtime runs only the result
    model = windowed("Conv", dilations=[2, 2], auto_pad="SAME_UPPER", kernel_shape=[3, 3])
    found = next(each for each in canonicalise(model).graph.node if 2 in attribute(each, "dilations", []))
    assert attribute(found, "pads", []) == [2, 2, 2, 2]


def test_a_kernel_shape_is_filled_in():
    model = with_head([node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])], dict(CONV))
    (conv,) = [each for each in canonical(model).graph.node if each.op_type == "Conv"]
    assert attribute(conv, "kernel_shape", None) == [3, 3]


@pytest.mark.parametrize("names", [("", ""), ("same", "same"), ("a/b", "a/c"), ("conv", "conv/Conv")], ids=repr)
def test_each_layer_has_its_own_name(names: tuple[str, str]):
    model = two_convolutions(["w2", "b"])
    for each, name in zip([each for each in model.graph.node if each.op_type == "Conv"], names, strict=True):
        each.name = name
    found = build(model, images(), options=QuantizationOptions(rounding="nearest"))
    assert len({report.layer for report in found.layers}) == 2


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 18, 21, 23])
def test_the_opset_is_raised_and_never_lowered(opset: int):
    nodes = [
        node("Conv", ["x", "w", "b"], ["c1"], "stage/conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["c2"], "stage/relu"),
        node("MaxPool", ["c2"], ["c3"], "pool", kernel_shape=[1, 1]),
        node("Dropout", ["c3"], ["c"], "dropout"),
    ]
    found = canonical(with_head(nodes, dict(CONV), opset=opset, ir_version=3 if opset < 9 else 8))
    (version,) = [each.version for each in found.opset_import if each.domain == ""]
    assert version == max(18, opset)
    assert "stage/Conv" in {each.name for each in found.graph.node}


def test_initializers_may_be_listed_as_inputs():
    model = with_head([node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])], dict(CONV), opset=9, ir_version=3)
    for each in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(each.name, each.data_type, each.dims))
    assert [each.name for each in canonical(model).graph.input] == ["image"]


def channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_in_parts_is_folded(bias: bool):
    nodes = [
        node("Conv", ["x", "w", *(["b"] if bias else [])], ["c1"], pads=[1, 1, 1, 1]),
        node("Sub", ["c1", "mean"], ["c2"]),
        node("Mul", ["gain", "c2"], ["c3"]),
        node("Div", ["c3", "deviation"], ["c4"]),
        node("Add", ["c4", "shift"], ["c"]),
    ]
    constants = CONV | {
        "mean": channel(weights(8, seed=1)),
        "gain": channel(weights(8, seed=2))[None],
        "deviation": np.float32(1.5),
        "shift": channel(weights(8, seed=3)),
    }
    found = kinds(canonical(with_head(nodes, constants)))
    assert not {"Sub", "Mul", "Add"} & found.keys()
    assert found["Div"] == 1  # of the image


@pytest.mark.parametrize("first", [True, False])
def test_subtraction_keeps_its_order(first: bool):
    inputs = ["c1", "mean"] if first else ["mean", "c1"]
    nodes = [node("Conv", ["x", "w", "b"], ["c1"], pads=[1, 1, 1, 1]), node("Sub", inputs, ["c"])]
    assert "Sub" not in kinds(canonical(with_head(nodes, CONV | {"mean": channel(weights(8, seed=1))})))


def test_a_value_per_pixel_is_not_folded():
    nodes = [node("Conv", ["x", "w", "b"], ["c1"], pads=[1, 1, 1, 1]), node("Mul", ["c1", "mask"], ["c"])]
    assert kinds(canonical(with_head(nodes, CONV | {"mask": weights(1, 1, 12, 12)})))["Mul"] == 1


def test_a_batch_norm_is_folded():
    nodes = [
        node("Conv", ["x", "w"], ["c1"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "gamma", "beta", "mean", "variance"], ["c"], epsilon=0.1),
    ]
    constants = {"w": CONV["w"], "variance": np.abs(weights(8, seed=4)) + 1}
    constants |= {name: weights(8, seed=seed) for seed, name in enumerate(("gamma", "beta", "mean"))}
    assert "BatchNormalization" not in kinds(canonical(with_head(nodes, constants)))


def test_hard_swish_in_parts_is_one_operator():
    nodes = [
        node("Conv", ["x", "w", "b"], ["c1"], pads=[1, 1, 1, 1]),
        node("Add", ["c1", "three"], ["c2"]),
        node("Clip", ["c2", "zero", "six"], ["c3"]),
        node("Mul", ["c1", "c3"], ["c4"]),
        node("Div", ["c4", "six"], ["c"]),
    ]
    constants = CONV | {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    assert kinds(canonical(with_head(nodes, constants)))["HardSwish"] == 1


def test_a_function_is_inlined():
    body = [node("Conv", ["a", "k"], ["r"], pads=[1, 1, 1, 1])]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "Block", ["a", "k"], ["r"], body, opsets[:1])
    model = with_head([node("Block", ["x", "w"], ["c"], "block", domain="local")], {"w": CONV["w"]})
    model.functions.append(function)
    model.opset_import.append(opsets[1])
    assert kinds(canonical(model))["Conv"] == 1


def test_a_condition_that_is_constant_is_folded():
    branches = {
        f"{name}_branch": helper.make_graph([node(kind, ["c1"], [name])], name, [], [onnx.ValueInfoProto(name=name)])
        for name, kind in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [node("Conv", ["x", "w", "b"], ["c1"], pads=[1, 1, 1, 1]), node("If", ["yes"], ["c"], **branches)]
    assert kinds(canonical(with_head(nodes, CONV | {"yes": np.array(True)})))["Relu"] == 1


def test_reports_a_canonical_form_that_differs():
    model = with_head([node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])], dict(CONV))
    other = canonicalise(model)
    (bias,) = [each for each in other.graph.initializer if each.name == "fc.bias" or each.dims == [CLASSES]]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.1), bias.name))
    with pytest.raises(UnsupportedOperator, match=r"differs by 0\.1 in a logit"):
        check_equal(model, other, images())
