"""Find every tensor, node and scope in the bytes of an ONNX file, without the ONNX package.

Field numbers are from onnx.proto. Weights are skipped by their length, neither read nor copied. The bytes are
untrusted: invalid bytes raise `ValueError`, and the reading time is bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecnn.bundle.wire_format import LENGTH, VARINT, read_fields, read_integers

MOST_FIELDS = 500_000
"""Limit on the fields of a file, which keeps reading to about a second. ResNet-152 in INT8 has 28,000."""

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
"""Domains of ONNX's own operators."""

_DIMS, _DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14  # fields of TensorProto
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # fields of NodeProto
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER, _ATTRIBUTE_DOC, _ATTRIBUTE_TYPE = 1, 3, 13, 20  # fields of AttributeProto
_INT = 2  # AttributeProto.AttributeType

_TENSOR, _NODE, _GRAPH, _FUNCTION = "tensor", "node", "graph", "function"
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: _GRAPH, 20: "training", 25: _FUNCTION},
    "training": {1: _GRAPH, 2: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: "sparse"},
    _FUNCTION: {7: _NODE, 11: "attribute"},
    _NODE: {_ATTRIBUTE: "attribute"},
    "attribute": {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
"""For each kind of message, the fields that contain nodes or tensors, and the kind of their content."""

_DEEPEST = 50  # levels of nested messages; graphs of edgecnn have four
_TOP = 1  # the level of the model's graph and its functions
_LONGEST_NAME = 10_000  # bytes
_MOST_DIMENSIONS = 64


@dataclass(frozen=True)
class Node:
    """A node of a graph or of a function.

    Attributes:
        operator: name of its operator.
        inputs: names of its inputs; empty for an input that is left out.
        outputs: names of its outputs.
        domain: domain of its operator.
        attributes: name and unsigned integer of each attribute; None for one of another type. Read only for operators
            outside `STANDARD_DOMAINS`.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str
    attributes: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class Tensor:
    """A constant of the graph. A constant that is encoded in parts gives several of these.

    Attributes:
        name: its name; may be empty, for example for the value of a `Constant`.
        data_type: number of its element type; 0 if missing.
        shape: its dimensions, unsigned.
        raw: its elements; None if they are external, or not in raw form.
        external: whether its elements are in another file.
        owner: the innermost node that contains it; None if no node does.
        initializer: whether it is a dense initializer of the model's graph.
    """

    name: str
    data_type: int
    shape: tuple[int, ...]
    raw: memoryview | None
    external: bool
    owner: Node | None
    initializer: bool


@dataclass(frozen=True)
class Scope:
    """A function, which replaces an operator by nodes, or a graph other than the model's, such as a branch."""

    kind: Literal["function", "graph"]


Part = Node | Tensor | Scope


def read_graph(model: np.ndarray) -> Iterator[Part]:
    """Yield all nodes, tensors and scopes in file order, a node or scope before the parts in it.

    Args:
        model: uint8 [B], the bytes of the ONNX file; may be memory-mapped.

    Raises:
        ValueError: the bytes are not a graph.
    """
    return _GraphReader().parts("model", model.data)


class _GraphReader:
    """Reads one file and limits the number of its fields."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def parts(
        self, kind: str, message: memoryview, *, parent: str = "", depth: int = 0, owner: Node | None = None
    ) -> Iterator[Part]:
        """Yield the nodes, tensors and scopes in a message of a kind."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        if kind == _TENSOR:
            yield self._tensor(message, owner, initializer=parent == _GRAPH and depth == _TOP + 1)
            return
        if kind == _NODE:
            owner = self._node(message)
            yield owner
        elif kind == _FUNCTION:
            yield Scope("function")
        elif kind == _GRAPH and depth != _TOP:
            yield Scope("graph")
        children = _CHILDREN[kind]
        for number, value in self._fields(message):
            if number in children and isinstance(value, memoryview):
                yield from self.parts(children[number], value, parent=kind, depth=depth + 1, owner=owner)

    def _tensor(self, message: memoryview, owner: Node | None, *, initializer: bool) -> Tensor:
        name, data_type, raw, external, shape = "", 0, None, False, list[int]()
        for number, value in self._fields(message):
            if number == _DATA_TYPE and isinstance(value, int):
                data_type = value
            elif number == _NAME and isinstance(value, memoryview):
                name = _text(value)
            elif number == _RAW_DATA:
                raw = value if isinstance(value, memoryview) else None
            elif number == _DIMS:  # one field for each dimension, or one for several
                shape += [value] if isinstance(value, int) else read_integers(value, _MOST_DIMENSIONS)
            elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                external = True
        if len(shape) > _MOST_DIMENSIONS:
            raise ValueError("too many dimensions")
        return Tensor(name, data_type, tuple(shape), raw, external, owner, initializer)

    def _node(self, message: memoryview) -> Node:
        names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OP_TYPE: [], _DOMAIN: []}
        attributes: list[memoryview] = []
        for number, value in self._fields(message):
            if number in names and isinstance(value, memoryview):
                names[number].append(_text(value))
            elif number == _ATTRIBUTE and isinstance(value, memoryview):
                attributes.append(value)
        # Protobuf parsers take the last value of a repeated scalar field.
        domain = (names[_DOMAIN] or [""])[-1]
        found = () if domain in STANDARD_DOMAINS else tuple(self._attribute(each) for each in attributes)
        operator = (names[_OP_TYPE] or [""])[-1]
        return Node(operator, tuple(names[_INPUT]), tuple(names[_OUTPUT]), domain, found)

    def _attribute(self, message: memoryview) -> tuple[str, int | None]:
        """Return the name of an attribute, and its integer if it is one and nothing else."""
        name, integer, kind, other = "", 0, 0, False
        for number, value in self._fields(message):
            if number == _ATTRIBUTE_NAME and isinstance(value, memoryview):
                name = _text(value)
            elif number == _ATTRIBUTE_INTEGER and isinstance(value, int):
                integer = value
            elif number == _ATTRIBUTE_TYPE and isinstance(value, int):
                kind = value
            else:
                other = other or number != _ATTRIBUTE_DOC
        return name, integer if kind == _INT and not other else None

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
