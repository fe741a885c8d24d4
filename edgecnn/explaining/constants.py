"""The constants of a graph by name. Integers with a scale, and float16, are converted to float32."""

import math

import numpy as np

from edgecnn.bundle.four_bits import OPERATOR, dequantized
from edgecnn.explaining.graph import Constant, Graph, Node

_CONVERTS = ("DequantizeLinear", "Cast", "Identity")


class Constants:
    """The tensors of a graph that do not depend on the image."""

    def __init__(self, graph: Graph) -> None:
        self._stored = dict(graph.constants)
        self._makers: dict[str, Node] = {}
        self._packed: dict[str, Node] = {}  # weights in 4 bits to the node that reads them
        for node in graph.nodes:
            value = node.attributes.get("value")
            if node.operator == "Constant" and isinstance(value, Constant):
                self._stored[node.outputs[0]] = value
            elif node.operator in _CONVERTS and node.inputs and node.inputs[0] in self:
                self._makers[node.outputs[0]] = node
            elif node.operator == OPERATOR and len(node.inputs) == 4 and self._stored.keys() >= {*node.inputs[1:]}:
                self._packed[node.inputs[1]] = node

    def __contains__(self, name: str) -> bool:
        return name in self._stored or name in self._makers

    def is_integer(self, name: str) -> bool:
        """Return whether a constant is stored as integers with a scale in 8 or more bits."""
        while (maker := self._makers.get(name)) is not None:
            if maker.operator == "DequantizeLinear":
                return True
            name = maker.inputs[0]
        return False

    def size(self, name: str) -> int:
        """Return the number of elements of a constant."""
        return math.prod(self.shape(name))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a constant."""
        while (maker := self._makers.get(name)) is not None:
            name = maker.inputs[0]
        if (reader := self._packed.get(name)) is not None:
            return reader.number("N", 0), reader.number("K", 0)
        return self._stored[name].dims

    def values(self, name: str) -> np.ndarray | None:
        """Return a constant, dequantized to float32 if it is stored as integers with a scale.

        None if the graph has no constant with this name, or its type is not supported.
        """
        if (reader := self._packed.get(name)) is not None:
            return self._unpacked(reader)
        if name in self._stored:
            return self._stored[name].values()
        maker = self._makers.get(name)
        if maker is None:
            return None
        found = [self.values(each) for each in maker.inputs]
        if any(each is None for each in found):
            return None
        arrays = [each for each in found if each is not None]
        if maker.operator != "DequantizeLinear":
            return arrays[0].astype(np.float32) if arrays[0].dtype.kind == "f" else arrays[0]
        return _dequantized(maker.number("axis", 1), *arrays)

    def _unpacked(self, reader: Node) -> np.ndarray | None:
        """Return weights in 4 bits as float32 [outputs, inputs]."""
        packed, scales, zero_points = (self._stored[name].values() for name in reader.inputs[1:])
        if packed is None or scales is None or zero_points is None:
            return None
        try:
            return dequantized(packed, scales, zero_points, reader.number("K", 0))
        except (TypeError, ValueError):  # types or shapes contradict each other: engines reject the graph
            return None


def _dequantized(axis: int, integers: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None) -> np.ndarray:
    """Return (integers - zero) × scale, with one scale or one for each index of an axis."""

    def spread(numbers: np.ndarray) -> np.ndarray:
        if numbers.size == 1:
            return numbers.reshape(())
        shape = [1] * integers.ndim
        shape[axis % integers.ndim] = numbers.size
        return numbers.reshape(shape)

    centred = integers.astype(np.float32) - (0 if zero is None else spread(zero).astype(np.float32))
    result: np.ndarray = centred * spread(scale.astype(np.float32))
    return result
