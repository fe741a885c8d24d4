"""Tests of the check for the range of weights."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.bundle.weights import check_weights
from edgecnn.errors import BundleError, WeightBeyondRange

MODEL = Path("bundle/model.onnx")


def content(model: onnx.ModelProto) -> np.ndarray:
    return np.frombuffer(model.SerializeToString(), np.uint8)


def graph(
    initializers: list[onnx.TensorProto] | None = None, nodes: list[onnx.NodeProto] | None = None
) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(nodes or [], "g", [], [], initializers or []))


def weights(*values: int, name: str = "conv1.weight/quantized") -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([values], np.int8), name)


@pytest.mark.parametrize("values", [(65, 0), (0, -65), (-128,), (127,)])
def test_rejects_a_weight_beyond_the_limit(values: tuple[int, ...]):
    with pytest.raises(WeightBeyondRange, match=r"'conv1\.weight/quantized' reach \d+, the manifest claims at most 64"):
        check_weights(content(graph([weights(1), weights(*values)])), 64, path=MODEL)


def test_accepts_weights_at_the_limit():
    check_weights(content(graph([weights(64, -64), weights()])), 64, path=MODEL)
    check_weights(content(graph([weights(127, -127)])), 127, path=MODEL)


@given(st.lists(st.integers(-128, 127), min_size=1), st.integers(1, 127))
def test_checks_the_largest_magnitude(values: list[int], limit: int):
    model = content(graph([weights(*values)]))
    if max(map(abs, values)) > limit:
        with pytest.raises(WeightBeyondRange):
            check_weights(model, limit, path=MODEL)
    else:
        check_weights(model, limit, path=MODEL)


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=tensor)


def inside_a_branch(tensor: onnx.TensorProto) -> onnx.NodeProto:
    branch = helper.make_graph([constant(tensor)], "branch", [], [])
    return helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)


@pytest.mark.parametrize("hide", [constant, inside_a_branch])
def test_finds_weights_in_every_place(hide):
    with pytest.raises(WeightBeyondRange, match="reach 100"):
        check_weights(content(graph(nodes=[hide(weights(100))])), 64, path=MODEL)


def test_finds_weights_in_a_function():
    model = graph()
    node = constant(weights(100))
    model.functions.append(helper.make_function("d", "f", [], ["c"], [node], [helper.make_opsetid("", 18)]))
    with pytest.raises(WeightBeyondRange, match="reach 100"):
        check_weights(content(model), 64, path=MODEL)


def as_numbers() -> onnx.TensorProto:
    return helper.make_tensor("w", TensorProto.INT8, [1, 2], [1, 2])  # not in raw_data


def elsewhere() -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.INT8, dims=[1, 2])
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def unsigned() -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros((1, 2), np.uint8), "w")


def here_and_elsewhere() -> onnx.TensorProto:
    tensor = weights(1, 2, name="w")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="model.onnx")
    return tensor


@pytest.mark.parametrize("tensor", [as_numbers, elsewhere, here_and_elsewhere, unsigned])
def test_rejects_weights_of_unknown_range(tensor):
    with pytest.raises(WeightBeyondRange, match="the range of the 8-bit weights 'w' is unknown"):
        check_weights(content(graph([tensor()])), 64, path=MODEL)


@pytest.mark.parametrize("operator", ["QuantizeLinear", "Cast"])
def test_rejects_computed_weights(operator: str):
    floats = [numpy_helper.from_array(np.ones((2, 2), np.float32), "floats")]
    nodes = [helper.make_node("Reshape", ["floats"], ["moved"]), helper.make_node(operator, ["moved"], ["w"])]
    with pytest.raises(WeightBeyondRange, match="the range of the computed weights w is unknown"):
        check_weights(content(graph(floats, nodes)), 64, path=MODEL)


def test_accepts_values_computed_from_the_image():
    check_weights(content(graph(nodes=[helper.make_node("QuantizeLinear", ["image"], ["q"])])), 64, path=MODEL)


def field(number: int, value: bytes) -> bytes:
    """Return an encoded field with a length."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


SMALL, LARGE = bytes([1, 2]), bytes([100, 129])
DIMS = b"\x08\x02"


def test_rejects_a_type_beyond_32_bits():
    tensor = DIMS + b"\x10" + varint(3 + 2**32) + field(9, LARGE)
    with pytest.raises(WeightBeyondRange, match=r"the type of the weights .* is unknown"):
        check_weights(np.frombuffer(field(7, field(5, tensor)), np.uint8), 64, path=MODEL)


def test_rejects_a_field_number_beyond_32_bits():
    tensor = DIMS + b"\x10\x03" + field(9, LARGE)
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        check_weights(np.frombuffer(field(7, field(5 + 2**29, tensor)), np.uint8), 64, path=MODEL)


def test_rejects_a_tensor_in_parts():
    parts = field(5, DIMS + b"\x10\x03" + field(9, SMALL)) + field(5, field(9, LARGE))
    node = field(5, parts)  # an attribute with its tensor written twice
    with pytest.raises(WeightBeyondRange, match=r"the type of the weights .* is unknown"):
        check_weights(np.frombuffer(field(7, field(1, node)), np.uint8), 64, path=MODEL)


def test_ignores_other_tensors():
    others = [
        numpy_helper.from_array(np.array(200, np.uint8), "image/zero_point"),
        numpy_helper.from_array(np.array([[1000]], np.int32), "bias"),
        numpy_helper.from_array(np.array([[1000.0]], np.float32), "fc.weight"),
    ]
    check_weights(content(graph(others)), 64, path=MODEL)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_bundle_errors(damage: bytes):
    with contextlib.suppress(BundleError):  # any other error fails the test
        check_weights(np.frombuffer(damage, np.uint8), 64, path=MODEL)


@given(st.data())
def test_rejects_or_checks_a_damaged_graph(data: st.DataObject):
    damaged = content(graph([weights(5, 6), weights(7)], [constant(weights(8))])).copy()
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_weights(damaged, 64, path=MODEL)
    except BundleError:
        return
    with contextlib.suppress(DecodeError):  # an unreadable graph has no weights
        for tensor in onnx.ModelProto.FromString(damaged.tobytes()).graph.initializer:
            if tensor.data_type == TensorProto.INT8:
                assert np.abs(np.frombuffer(tensor.raw_data, np.int8).astype(int)).max(initial=0) <= 64


def claiming(bundle: Bundle, limit: int) -> dict:
    graph = bundle.manifest.graph
    assert graph.quantization is not None
    graph = dataclasses.replace(graph, quantization=dataclasses.replace(graph.quantization, weight_limit=limit))
    return {
        "manifest": dataclasses.replace(bundle.manifest, graphs=(graph,)),
        "model": bundle.model.read_bytes(),
        "self_test": bundle.self_test(),
        "proof": bundle.proof(),
    }


def test_create_bundle_rejects_a_wrong_limit(committed: Bundle, tmp_path: Path):
    with pytest.raises(WeightBeyondRange, match="reach 64, the manifest claims at most 63"):
        create_bundle(tmp_path / "b", **claiming(committed, 63))
    assert not list(tmp_path.iterdir())


def test_open_bundle_rejects_a_wrong_limit(committed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.bundle.store.check_weights", lambda *_, **__: None)  # as if sealed by another program
    create_bundle(tmp_path / "b", **claiming(committed, 63))
    monkeypatch.undo()
    with pytest.raises(WeightBeyondRange, match=r"model\.onnx: the weights '.*' reach 64"):
        open_bundle(tmp_path / "b")
