"""Tests of receptive fields: a unit changes only if a pixel in its field changes."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from graphs import image_model
from onnx import helper

from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import ReceptiveField
from edgecnn.explaining.graph import Node, read_graph, with_outputs
from edgecnn.explaining.layers import GraphLayer, layers_of
from edgecnn.explaining.windows import described, widest, window_of
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine

SIDE = 24
node = helper.make_node
ONES = {"w3": np.ones((1, 3, 3, 3), np.float32), "w1": np.ones((1, 1, 3, 3), np.float32)}
FIRST = node("Conv", ["x", "w3"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])

GRAPHS: dict[str, list[onnx.NodeProto]] = {
    "strides": [FIRST, node("Conv", ["a", "w1"], ["b"], kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1])],
    "uneven padding": [
        FIRST,
        node("AveragePool", ["a"], ["b"], kernel_shape=[2, 3], strides=[1, 2], pads=[0, 2, 1, 0], count_include_pad=1),
    ],
    "dilation": [FIRST, node("Conv", ["a", "w1"], ["b"], kernel_shape=[3, 3], dilations=[2, 3], pads=[2, 3, 2, 3])],
    "branches": [
        FIRST,
        node("Conv", ["a", "w1"], ["wide"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Add", ["a", "wide"], ["b"]),
    ],
    "concatenation": [
        FIRST,
        node("Conv", ["a", "w1"], ["left"], kernel_shape=[3, 3], pads=[2, 2, 0, 0]),
        node("Conv", ["a", "w1"], ["right"], kernel_shape=[3, 3], pads=[0, 0, 2, 2]),
        node("Concat", ["left", "right"], ["b"], axis=1),
    ],
}


def model_of(nodes: Sequence[onnx.NodeProto]) -> bytes:
    end = [
        node("ReduceMean", [nodes[-1].output[0]], ["mean"], axes=[2, 3], keepdims=0),
        node("Identity", ["mean"], ["logits"]),
    ]
    model = image_model([*nodes, *end], ONES, side=SIDE, opset=13)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "K"
    return model.SerializeToString()


def layer_named(model: bytes, name: str) -> GraphLayer:
    graph = read_graph(model)
    return {each.id: each for each in layers_of(graph, Constants(graph))}[name]


@pytest.mark.parametrize("name", GRAPHS)
def test_pixels_change_the_units_in_whose_field_they_lie(name: str):
    model = model_of(GRAPHS[name])
    field = layer_named(model, "b").field
    session = get_engine("onnxruntime").open(with_outputs(model, ["b"]), SessionOptions(threads=1))
    for pixel in ((0, 0), (5, 8), (11, 11), (SIDE - 1, SIDE - 2)):
        image = np.zeros((1, SIDE, SIDE, 3), np.uint8)
        image[0, *pixel] = 255
        (values,) = session.outputs(["b"], image)
        changed = (values[0] != 0).any(axis=0)
        expected = reads(field, pixel, changed.shape)
        # A field is one rectangle: dilated windows have gaps, and the windows of branches may cover less.
        is_exact = name in ("strides", "uneven padding", "branches")
        assert np.array_equal(changed, expected) if is_exact else not (changed & ~expected).any()


def reads(field: ReceptiveField, pixel: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Return which units have a field that contains the pixel."""
    inside = []
    for axis in (0, 1):
        start = field.start[axis] + np.arange(shape[axis]) * field.jump[axis]
        inside.append((start <= pixel[axis]) & (pixel[axis] < start + field.size[axis]))
    return inside[0][:, None] & inside[1]


def test_resnet_has_the_field_of_the_paper_of_araujo():
    stem = [node("Conv", ["x", "w7"], ["a"], kernel_shape=[7, 7], strides=[2, 2], pads=[3, 3, 3, 3])]
    stem.append(node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))
    model = image_model(stem, {"w7": np.ones((1, 3, 7, 7), np.float32)}, side=SIDE).SerializeToString()
    assert layer_named(model, "b").field == ReceptiveField((11, 11), (4, 4), (-5, -5))


def test_fields_that_do_not_fit_together_are_unknown():
    one, other = ReceptiveField((3, 3), (1, 1), (0, 0)), ReceptiveField((3, 3), (2, 2), (0, 0))
    assert widest([one, other]) is None
    assert widest([one, None]) is None
    assert widest([]) is None
    assert widest([one, ReceptiveField((5, 1), (1, 1), (-4, 1))]) == ReceptiveField((7, 3), (1, 1), (-4, 0))


def test_describes_windows():
    plain = Node("Conv", "", ("x", "w"), ("y",), {"strides": (2, 2), "dilations": (1, 2), "group": 8})
    window = window_of(plain, (8, 1, 3, 5))
    assert described("Conv", window) == "Conv 3×5, stride 2, dilation 1×2, 8 groups"
    assert (
        described("MaxPool", window_of(Node("MaxPool", "", ("x",), ("y",), {"kernel_shape": (2, 2)}))) == "MaxPool 2×2"
    )
    assert window_of(Node("Conv", "", ("x", "w"), ("y",), {"auto_pad": "SAME_UPPER"}), (8, 1, 3, 3)) is None
    assert window_of(Node("Conv", "", ("x", "w"), ("y",)), (8, 1, 3)) is None
    assert window_of(Node("Conv", "", ("x", "w"), ("y",), {"strides": (0, 1)}), (8, 1, 3, 3)) is None
