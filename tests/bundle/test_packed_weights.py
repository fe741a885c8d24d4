"""Tests of the check for 4-bit weights: every way to have their bytes read as something else is rejected."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from four_bit_graphs import NAME, PACKED, SCALES, ZERO_POINTS, check, node_of, small_linear, tensor
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.four_bits import DOMAIN, OPERATOR
from edgecnn.errors import ManifestError, WeightBeyondRange

COLUMNS, OUTPUTS = 200, 4

Change = Callable[[onnx.ModelProto], object]


def attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    return next(each for each in node_of(model).attribute if each.name == name)


def setting(**values: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for name, value in values.items():
            attribute(model, name).i = value

    return change


def without(name: str) -> Change:
    return lambda model: node_of(model).attribute.remove(attribute(model, name))


def adding(made: onnx.AttributeProto) -> Change:
    return lambda model: node_of(model).attribute.append(made)


def as_float(model: onnx.ModelProto) -> None:
    attribute(model, "bits").CopyFrom(helper.make_attribute("bits", 4.0))


def by_reference(model: onnx.ModelProto) -> None:
    attribute(model, "bits").ref_attr_name = "bits"


def storing(name: str, value: np.ndarray) -> Change:
    return lambda model: tensor(model, name).CopyFrom(numpy_helper.from_array(value, name))


def of_shape(name: str, *shape: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del tensor(model, name).dims[:]
        tensor(model, name).dims.extend(shape)

    return change


def cut(name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor(model, name).raw_data = tensor(model, name).raw_data[:-1]

    return change


def as_numbers(name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        found = tensor(model, name)
        values = numpy_helper.to_array(found).reshape(-1).tolist()
        found.CopyFrom(helper.make_tensor(name, found.data_type, found.dims, values))

    return change


def elsewhere(name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor(model, name).external_data.add(key="location", value="x.bin")

    return change


def twice(name: str) -> Change:
    return lambda model: model.graph.initializer.append(tensor(model, name))


def renamed(name: str) -> Change:
    """Return a change after which the node reads a name that is not stored."""

    def change(model: onnx.ModelProto) -> None:
        node = node_of(model)
        node.input[list(node.input).index(name)] = "given"

    return change


def computed(name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        renamed(name)(model)
        model.graph.node.insert(0, helper.make_node("Identity", [name], ["given"]))

    return change


def computed_too(name: str) -> Change:
    return lambda model: model.graph.node.append(helper.make_node("Identity", ["image"], [name]))


def sparse(model: onnx.ModelProto) -> None:
    found = tensor(model, ZERO_POINTS)
    found.dims[:] = [found.dims[0] * found.dims[1]]
    indices = numpy_helper.from_array(np.arange(found.dims[0], dtype=np.int64), "indices")
    model.graph.sparse_initializer.append(
        onnx.SparseTensorProto(values=found, indices=indices, dims=[found.dims[0] * 2])
    )
    model.graph.initializer.remove(found)


def reading(operator: str, *inputs: str) -> Change:
    """Return a change that adds another node that reads these tensors."""
    return lambda model: model.graph.node.append(helper.make_node(operator, inputs, ["read"]))


def inputs_of(*names: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        node_of(model).input[:] = names

    return change


def second_layer(model: onnx.ModelProto) -> None:
    model.graph.node.append(node_of(model))
    model.graph.node[-1].output[0] = "second"


def in_a_branch(model: onnx.ModelProto) -> None:
    node = node_of(model)
    branch = helper.make_graph([node], "branch", [], [])
    model.graph.node.remove(node)
    model.graph.node.append(helper.make_node("If", ["c"], ["products"], then_branch=branch, else_branch=branch))


def read_by_an_empty_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info(PACKED, TensorProto.UINT8, None)])
    model.graph.node.append(helper.make_node("If", ["c"], ["read"], then_branch=branch, else_branch=branch))


def redefined(model: onnx.ModelProto) -> None:
    body = helper.make_node("MatMulInteger", ["A", "B"], ["Y"])
    inputs = ["A", "B", "scales", "zero_points"]
    domains = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function(DOMAIN, OPERATOR, inputs, ["Y"], [body], domains))


def redefined_without_nodes(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function(DOMAIN, OPERATOR, ["A", "Y"], ["Y"], [], []))


def in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.node.append(helper.make_node("DequantizeLinear", [PACKED], ["read"]))


STANDARD = numpy_helper.from_array(np.float32(1), "one")

EVASIONS: dict[str, tuple[Change, str]] = {
    **{f"no {name}": (without(name), "expected the attributes") for name in ("K", "N", "bits", "block_size")},
    "no accuracy level": (without("accuracy_level"), "expected the attributes"),
    "8 bits": (setting(bits=8), "expected the attributes"),
    "blocks of 64": (setting(block_size=64), "expected the attributes"),
    "another accuracy level": (setting(accuracy_level=1), "expected the attributes"),
    "no columns": (setting(K=0), "expected the attributes"),
    "negative columns": (setting(K=-COLUMNS), r"must have the shape"),
    "more columns": (setting(K=257), r"the weights '.*' must have the shape \[4, 3, 64\], found \[4, 2, 64\]"),
    "more outputs": (setting(N=5), r"must have the shape \[5, 2, 64\]"),
    "huge sizes": (setting(K=2**62, N=2**62), r"must have the shape"),
    "float attribute": (as_float, "expected the attributes"),
    "referring attribute": (by_reference, "expected the attributes"),
    "attribute twice": (adding(helper.make_attribute("bits", 8)), "expected the attributes"),
    "equal attribute twice": (adding(helper.make_attribute("bits", 4)), "expected the attributes"),
    "other attribute": (adding(helper.make_attribute("training_mode", 1)), "expected the attributes"),
    "tensor as attribute": (adding(helper.make_attribute("t", STANDARD)), "expected the attributes"),
    "fewer weights": (storing(PACKED, np.zeros((OUTPUTS, 1, 64), np.uint8)), "must have the shape"),
    "other shape of weights": (of_shape(PACKED, OUTPUTS, 128), r"found \[4, 128\]"),
    "weights cut off": (cut(PACKED), "must have the shape"),
    "signed weights": (storing(PACKED, np.zeros((OUTPUTS, 2, 64), np.int8)), "the weights '.*' have the wrong type"),
    "weights not raw": (as_numbers(PACKED), "the weights '.*' are not stored as raw bytes"),
    "weights elsewhere": (elsewhere(PACKED), "the weights '.*' are not stored as raw bytes"),
    "weights twice": (twice(PACKED), "the weights '.*' are not one stored constant"),
    "weights not stored": (renamed(PACKED), "the weights 'given' are not one stored constant"),
    "computed weights": (computed(PACKED), "the weights 'given' are not one stored constant"),
    "weights stored and computed": (computed_too(PACKED), "are not one stored constant"),
    "fewer zero points": (storing(ZERO_POINTS, np.zeros((OUTPUTS - 1, 1), np.uint8)), "must have the shape"),
    "unpacked zero points": (storing(ZERO_POINTS, np.zeros((OUTPUTS, 2), np.uint8)), "must have the shape"),
    "float zero points": (storing(ZERO_POINTS, np.zeros((OUTPUTS, 2), np.float32)), "zero points .* the wrong type"),
    "zero points not raw": (as_numbers(ZERO_POINTS), "the zero points '.*' are not stored as raw bytes"),
    "computed zero points": (computed(ZERO_POINTS), "the zero points 'given' are not one stored constant"),
    "sparse zero points": (sparse, "the zero points '.*' are not one stored constant"),
    "fewer scales": (storing(SCALES, np.ones(OUTPUTS, np.float32)), "the scales '.*' must have the shape"),
    "half scales": (storing(SCALES, np.ones((OUTPUTS, 2), np.float16)), "the scales '.*' have the wrong type"),
    "computed scales": (computed(SCALES), "the scales 'given' are not one stored constant"),
    "dequantized too": (reading("DequantizeLinear", PACKED, "one"), "the weights '.*' are read more than once"),
    "multiplied too": (reading("MatMulInteger", "image", PACKED), "the weights '.*' are read more than once"),
    "zero points multiplied": (reading("MatMulInteger", "image", ZERO_POINTS), "zero points .* read more than once"),
    "weights as input": (inputs_of(PACKED, PACKED, SCALES, ZERO_POINTS), "the weights '.*' are read more than once"),
    "weights as zero points": (inputs_of("flat", PACKED, SCALES, PACKED), "are read more than once"),
    "two layers": (second_layer, "the weights '.*' are read more than once"),
    "no zero points": (inputs_of("flat", PACKED, SCALES), "expected 4 inputs, found 3"),
    "group index": (inputs_of("flat", PACKED, SCALES, ZERO_POINTS, "groups"), "expected 4 inputs, found 5"),
    "bias": (inputs_of("flat", PACKED, SCALES, ZERO_POINTS, "", "bias"), "expected 4 inputs, found 6"),
    "in a branch": (in_a_branch, "a nested graph or a function that may read them"),
    "read by a branch": (read_by_an_empty_branch, "a nested graph or a function that may read them"),
    "redefined": (redefined, "a nested graph or a function that may read them"),
    "redefined without nodes": (redefined_without_nodes, "a nested graph or a function that may read them"),
    "in training": (in_training, "a nested graph or a function that may read them"),
}


@pytest.mark.parametrize("evasion", EVASIONS)
def test_rejects_bytes_that_may_not_be_4_bit_weights(evasion: str):
    change, message = EVASIONS[evasion]
    model = small_linear()
    change(model)
    with pytest.raises(WeightBeyondRange, match=message) as raised:
        check(model)
    assert str(raised.value).startswith("bundle/model.onnx: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("domain", "operator"), [("", OPERATOR), ("ai.onnx", OPERATOR), (DOMAIN, "MatMulBnb4")])
def test_bytes_read_by_another_operator_are_8_bit_weights(domain: str, operator: str):
    model = small_linear()
    node_of(model).MergeFrom(onnx.NodeProto(domain=domain, op_type=operator))
    with pytest.raises(WeightBeyondRange, match=r"the range of the 8-bit weights 'fc\.weight/quantized' is unknown"):
        check(model, names=())


def flat(model: onnx.ModelProto) -> None:
    of_shape(SCALES, OUTPUTS * 2)(model)
    of_shape(ZERO_POINTS, OUTPUTS)(model)


def with_other_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([64, -64], np.int8), "conv.weight/quantized"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(200, np.uint8), "image/zero_point"))


@pytest.mark.parametrize("change", [lambda model: None, flat, with_other_weights])
@pytest.mark.parametrize("columns", [200, 256])
def test_accepts_4_bit_weights(change: Change, columns: int):
    model = small_linear(columns)
    change(model)
    check(model)


def test_still_checks_8_bit_weights():
    model = small_linear()
    model.graph.initializer.append(numpy_helper.from_array(np.array([65], np.int8), "conv.weight/quantized"))
    with pytest.raises(WeightBeyondRange, match="reach 65"):
        check(model)


@pytest.mark.parametrize("names", [(), ("fc",), (NAME, "fc2.weight"), (NAME, NAME), (PACKED,)])
def test_rejects_a_manifest_with_other_4_bit_weights(names: tuple[str, ...]):
    with pytest.raises(ManifestError, match=r"the graph has the 4-bit weights fc\.weight, manifest\.json names"):
        check(small_linear(), names=names)


def test_rejects_a_manifest_with_4_bit_weights_that_are_not_there():
    model = small_linear()
    del model.graph.node[:]
    del model.graph.initializer[:]
    with pytest.raises(ManifestError, match=r"has the 4-bit weights none, manifest\.json names fc\.weight"):
        check(model)
