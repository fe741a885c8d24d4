"""Fold the order of the channels into the first convolution, for networks that take blue, green and red."""

import numpy as np
import onnx
from onnx import helper

from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.nodes import attribute

_REVERSED = {3: [2, 1, 0], 4: [2, 1, 0, 3]}  # alpha stays last


def reverse(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return values of channels in the other order."""
    return tuple(values[index] for index in order(len(values)))


def order(channels: int) -> list[int]:
    """Return where each channel of the other order is."""
    return _REVERSED[channels]


def reverse_channels(model: onnx.ModelProto, name: str, *, axis: int, channels: int) -> None:
    """Let the readers of a tensor take its channels in the other order, in place.

    If only convolutions with constant weights read the tensor, their weights change. Else a Gather is inserted.

    Args:
        model: a graph in which constants are initializers.
        name: a tensor with images.
        axis: its axis with the channels.
        channels: number of channels.
    """
    editor = GraphEditor(model)
    readers = editor.readers.get(name, [])
    if axis == 1 and all(_takes(editor, node, name, channels) for node in readers):
        for node in readers:
            weights = editor.constant(node.input[1])
            assert weights is not None
            node.input[1] = editor.add_constant(node.input[1], weights[:, order(channels)])
        return
    indices = editor.add_constant("channel_order", np.array(order(channels)))
    gathered = editor.unique(f"{name}_reversed")
    gather = helper.make_node("Gather", [name, indices], [gathered], "channel_order/Gather", axis=axis)
    for node in readers:
        node.input[:] = [gathered if each == name else each for each in node.input]
    maker = editor.makers.get(name)
    place = 0 if maker is None else next(i for i, each in enumerate(model.graph.node) if each == maker) + 1
    model.graph.node.insert(place, gather)


def _takes(editor: GraphEditor, node: onnx.NodeProto, name: str, channels: int) -> bool:
    """Return whether a node is a convolution over all channels of this tensor, with constant weights."""
    if (
        node.op_type != "Conv"
        or node.input[0] != name
        or list(node.input).count(name) != 1
        or attribute(node, "group", 1) != 1
    ):
        return False
    weights = editor.constant(node.input[1])
    return weights is not None and weights.ndim == 4 and weights.shape[1] == channels
