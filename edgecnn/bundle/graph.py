"""Find every tensor and node in the bytes of an ONNX file, without the ONNX package.

Field numbers are from onnx.proto. Weights are skipped by their length, neither read nor copied. The bytes are
untrusted: invalid bytes raise `ValueError`, and the reading time is bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.wire_format import LENGTH, VARINT, read_fields

MOST_FIELDS = 500_000
"""Limit on the fields of a file, which keeps reading to about a second. ResNet-152 in INT8 has 28,000."""

_DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 8, 9, 13, 14  # fields of TensorProto
_INPUT, _OUTPUT, _OP_TYPE = 1, 2, 4  # fields of NodeProto

_TENSOR, _NODE = "tensor", "node"
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: _NODE, 5: _TENSOR, 15: "sparse"},
    "function": {7: _NODE, 11: "attribute"},
    _NODE: {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
"""For each kind of message, the fields that contain nodes or tensors, and the kind of their content."""

_DEEPEST = 50  # levels of nested messages; graphs of edgecnn have four
_LONGEST_NAME = 10_000  # bytes


@dataclass(frozen=True)
class Node:
    """A node's operator, inputs and outputs."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Tensor:
    """A constant of the graph. A constant that is encoded in parts gives several of these.

    Attributes:
        name: its name; may be empty, for example for the value of a `Constant`.
        data_type: number of its element type; 0 if missing.
        raw: its elements; None if they are external, or not in raw form.
        external: whether its elements are in another file.
        owner: the innermost node that contains it; None for an initializer of the outermost graph.
    """

    name: str
    data_type: int
    raw: memoryview | None
    external: bool
    owner: Node | None


def read_graph(model: np.ndarray) -> Iterator[Node | Tensor]:
    """Yield all nodes and tensors in file order, a node before the tensors in it.

    Args:
        model: uint8 [B], the bytes of the ONNX file; may be memory-mapped.

    Raises:
        ValueError: the bytes are not a graph.
    """
    return _GraphReader().parts("model", model.data, 0, None)


class _GraphReader:
    """Reads one file and limits the number of its fields."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def parts(self, kind: str, message: memoryview, depth: int, owner: Node | None) -> Iterator[Node | Tensor]:
        """Yield the nodes and tensors in a message."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        if kind == _TENSOR:
            yield self._tensor(message, owner)
            return
        if kind == _NODE:
            owner = self._node(message)
            yield owner
        children = _CHILDREN[kind]
        for number, value in self._fields(message):
            if number in children and isinstance(value, memoryview):
                yield from self.parts(children[number], value, depth + 1, owner)

    def _tensor(self, message: memoryview, owner: Node | None) -> Tensor:
        name, data_type, raw, external = "", 0, None, False
        for number, value in self._fields(message):
            if number == _DATA_TYPE and isinstance(value, int):
                data_type = value
            elif number == _NAME and isinstance(value, memoryview):
                name = _text(value)
            elif number == _RAW_DATA:
                raw = value if isinstance(value, memoryview) else None
            elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                external = True
        return Tensor(name, data_type, raw, external, owner)

    def _node(self, message: memoryview) -> Node:
        names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OP_TYPE: []}
        for number, value in self._fields(message):
            if number in names and isinstance(value, memoryview):
                names[number].append(_text(value))
        # Protobuf parsers take the last value of a repeated scalar field.
        return Node((names[_OP_TYPE] or [""])[-1], tuple(names[_INPUT]), tuple(names[_OUTPUT]))

    def _fields(self, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """Yield the number and value of each field: an integer, or the bytes of a length-delimited value."""
        for number, wire, value, end in read_fields(message):
            self._left -= 1
            if self._left < 0:
                raise ValueError("too many fields")
            if wire == VARINT:
                yield number, value
            elif wire == LENGTH:
                yield number, message[value:end]


def _text(value: memoryview) -> str:
    if len(value) > _LONGEST_NAME:
        raise ValueError("a name is too long")
    return value.tobytes().decode(errors="replace")
