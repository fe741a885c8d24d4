"""Graph operators that compute the loss of a layer's sums if pairs of products are added in 16 bits.

`simulation` explains the pairs, and inserts these operators into its graph.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecnn.pipeline.canonical.nodes import attribute

_HIGHEST, _LOWEST = 32767, -32768
_LARGEST_INPUT = 255


@dataclass(frozen=True)
class IntegerLayer:
    """An INT8 convolution or linear layer.

    Attributes:
        quantized: name of its input as integers.
        zero_point: zero point of the input; uint8 for supported kernels.
        weights: int8 [O, kernel height, kernel width, C / G], or [O, K] for a linear layer.
        groups: G, the number of groups of channels.
        steps: float32 [O]: value of an integer sum of 1.
        output_shape: height and width of a convolution's output.
    """

    quantized: str
    zero_point: np.ndarray
    weights: np.ndarray
    groups: int
    steps: np.ndarray
    output_shape: tuple[int, ...]


@dataclass(frozen=True)
class Pairs:
    """The pairs of a layer that can saturate and have the same two positions in its kernel.

    Each output has P pairs. Missing pairs have zero weights.

    Attributes:
        places: (row, column) of both inputs; empty for a linear layer.
        inputs: int64 [2, O · P]: channels, or columns of a linear layer.
        weights: float32 [2, O · P].
    """

    places: tuple[tuple[int, ...], tuple[int, ...]]
    inputs: np.ndarray
    weights: np.ndarray


def saturating_pairs(layer: IntegerLayer) -> Iterator[Pairs]:
    """Yield the pairs whose sum can overflow 16 bits: two large weights with the same sign."""
    weights = layer.weights
    kernel, channels = weights.shape[1:-1], weights.shape[-1]
    flat = weights.reshape(len(weights), -1).astype(np.int32)
    flat = flat[:, : flat.shape[1] // 2 * 2]  # an odd last product has no partner
    first, second = flat[:, 0::2], flat[:, 1::2]
    sums = (first + second) * _LARGEST_INPUT
    outputs, pairs = np.nonzero(((sums > _HIGHEST) | (sums < _LOWEST)) & (first * second > 0))
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        groups[2 * pair // channels, (2 * pair + 1) // channels].append(number)
    for (place, next_place), numbers in groups.items():
        chosen, owners = pairs[numbers], outputs[numbers]  # owners in ascending order
        slots = np.arange(len(owners)) - np.searchsorted(owners, owners)  # index among the owner's pairs
        inputs = np.zeros((2, len(weights), slots.max() + 1), np.int64)
        first_channel = owners // (len(weights) // layer.groups) * channels  # of the owner's group
        inputs[:, owners, slots] = first_channel + np.stack([2 * chosen % channels, (2 * chosen + 1) % channels])
        values = np.zeros(inputs.shape, np.float32)
        values[:, owners, slots] = np.stack([first[owners, chosen], second[owners, chosen]])
        places = _position(place, kernel), _position(next_place, kernel)
        yield Pairs(places, inputs.reshape(2, -1), values.reshape(2, -1))


def _position(place: int, kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(each) for each in np.unravel_index(place, kernel)) if kernel else ()


class Loss:
    """Builds the nodes that compute the saturation loss of a layer's sums."""

    def __init__(self, node: onnx.NodeProto, layer: IntegerLayer) -> None:
        self._node = node
        self._layer = layer
        self._column = (-1, 1, 1) if node.op_type == "Conv" else (-1,)
        self._prefix = f"{node.output[0]}/loss"
        self._count = 0
        self.constants: list[onnx.TensorProto] = []

    def nodes(self, groups: list[Pairs], exact: str) -> list[onnx.NodeProto]:
        """Return the nodes that compute the loss and subtract it from the tensor `exact`."""
        nodes = [self._make("Cast", [self._layer.quantized], to=TensorProto.FLOAT)]
        pads = attribute(self._node, "pads", [0, 0, 0, 0])
        if any(pads):
            padding = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
            filling = self._layer.zero_point.astype(np.float32)  # the integer of a zero in the padding
            nodes.append(self._make("Pad", [nodes[-1].output[0], self._constant(padding), self._constant(filling)]))
        integers = nodes[-1].output[0]
        losses = []
        for group in groups:
            nodes += self._group(integers, group)
            losses.append(nodes[-1].output[0])
        nodes.append(self._make("Sum", losses))
        steps = self._constant(self._layer.steps.reshape(self._column))
        loss = helper.make_node("Mul", [nodes[-1].output[0], steps], [self._prefix], self._prefix)
        output = [self._node.output[0]]
        return [*nodes, loss, helper.make_node("Sub", [exact, self._prefix], output, f"{self._node.name}/saturated")]

    def _group(self, integers: str, group: Pairs) -> list[onnx.NodeProto]:
        """Return the nodes that compute the loss of a group of pairs, summed for each output."""
        signs = np.sign(group.weights[0])
        nodes = []
        products = []
        for place, inputs, weights in zip(group.places, group.inputs, group.weights, strict=True):
            seen = integers
            if place:
                nodes.append(self._window(integers, place))
                seen = nodes[-1].output[0]
            nodes.append(self._make("Gather", [seen, self._constant(inputs)], axis=1))
            # Magnitudes: both weights of a pair have the same sign.
            nodes.append(self._make("Mul", [nodes[-1].output[0], self._in_column(np.abs(weights))]))
            products.append(nodes[-1].output[0])
        nodes.append(self._make("Add", products))
        limits = np.where(signs >= 0, _HIGHEST, -_LOWEST).astype(np.float32)
        nodes.append(self._make("Sub", [nodes[-1].output[0], self._in_column(limits)]))
        nodes.append(self._make("Relu", [nodes[-1].output[0]]))
        nodes.append(self._make("Mul", [nodes[-1].output[0], self._in_column(signs)]))
        of_each_output = [0, len(self._layer.steps), -1, *self._layer.output_shape]
        nodes.append(self._make("Reshape", [nodes[-1].output[0], self._constant(np.array(of_each_output, np.int64))]))
        axis = self._constant(np.array([2], np.int64))
        nodes.append(self._make("ReduceSum", [nodes[-1].output[0], axis], keepdims=0))
        return nodes

    def _window(self, integers: str, place: tuple[int, ...]) -> onnx.NodeProto:
        """Return the node that selects the input at one kernel position, for every output of a convolution."""
        strides, dilations = (attribute(self._node, name, [1, 1]) for name in ("strides", "dilations"))
        starts = [at * dilation for at, dilation in zip(place, dilations, strict=True)]
        ends = [
            start + (size - 1) * stride + 1
            for start, size, stride in zip(starts, self._layer.output_shape, strides, strict=True)
        ]
        numbers = (starts, ends, [2, 3], strides)
        return self._make("Slice", [integers, *(self._constant(np.array(each, np.int64)) for each in numbers)])

    def _make(self, kind: str, inputs: list[str], **attributes: int) -> onnx.NodeProto:
        self._count += 1
        name = f"{self._prefix}/{self._count}"
        node = helper.make_node(kind, inputs, [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return node

    def _in_column(self, values: np.ndarray) -> str:
        """Add a constant with one value per channel, or per column of a linear layer."""
        return self._constant(values.reshape(self._column))

    def _constant(self, value: np.ndarray) -> str:
        name = f"{self._prefix}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name
