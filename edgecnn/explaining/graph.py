"""Read the nodes, attributes and constants of an ONNX graph, and add outputs to it, without the ONNX package.

Field numbers are from onnx.proto. Only the outermost graph is read. `open_bundle` has bounded the number of its fields.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.bundle.wire_format import FIXED32, LENGTH, VARINT, read_fields
from edgecnn.errors import UsageError

_GRAPH = 7  # field of ModelProto
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12  # fields of GraphProto
_MOST_NUMBERS = 1000
"""Limit on the numbers of a list, such as pads or dimensions."""

_RAW_TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}
"""NumPy's name of each element type of TensorProto that is read."""


def explained_graph(bundle: Bundle) -> Path:
    """Return the path of the graph of a bundle with one graph.

    Raises:
        UsageError: the bundle is a cascade.
    """
    if bundle.manifest.cascade is not None:
        raise UsageError(
            f"{bundle.manifest.name} is a cascade of two graphs, and an explanation needs a bundle with one graph: "
            f"explain the bundles that it was made of"
        )
    return bundle.model


@dataclass(frozen=True)
class Constant:
    """A tensor in the file. Its elements are not copied.

    Attributes:
        name: its name; empty for an attribute.
        dims: its shape.
        data_type: number of its element type.
        raw: its elements; None if the file stores them in another form.
    """

    name: str
    dims: tuple[int, ...]
    data_type: int
    raw: memoryview | None

    def values(self) -> np.ndarray | None:
        """Return the elements as an array of the shape `dims`; None if their type is not supported."""
        kind = _RAW_TYPES.get(self.data_type)
        if kind is None or self.raw is None:
            return None
        try:
            return np.frombuffer(self.raw, kind).reshape(self.dims)
        except ValueError:  # the shape and the elements contradict each other: engines reject the graph
            return None


Attribute = int | float | str | tuple[int, ...] | Constant


@dataclass(frozen=True)
class Node:
    """A node of the graph. Attributes of other types than `Attribute`, such as subgraphs, are left out."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return an attribute with whole numbers; empty if it is absent."""
        found = self.attributes.get(name)
        return found if isinstance(found, tuple) else ()

    def number(self, name: str, default: int) -> int:
        """Return an attribute with one whole number."""
        found = self.attributes.get(name)
        return found if isinstance(found, int) else default


@dataclass(frozen=True)
class Graph:
    """The outermost graph of a file: its nodes in file order, and its initializers by name."""

    nodes: tuple[Node, ...]
    constants: dict[str, Constant]


def read_graph(model: bytes | memoryview) -> Graph:
    """Read the bytes of an ONNX file.

    Raises:
        ValueError: the bytes are not a graph.
    """
    nodes: list[Node] = []
    constants: dict[str, Constant] = {}
    for number, graph in _messages(memoryview(model)):
        if number != _GRAPH:
            continue
        for kind, message in _messages(graph):
            if kind == _NODE:
                nodes.append(_node(message))
            elif kind == _INITIALIZER:
                tensor = _constant(message)
                constants[tensor.name] = tensor
    return Graph(tuple(nodes), constants)


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """Return a copy of an ONNX file whose graph also returns the tensors `names`, after its own outputs.

    A message that occurs twice in a field is merged by protobuf's parsers, so a second `graph` with the new outputs is
    appended. An output has a name only: engines infer its type.
    """
    outputs = b"".join(_field(_OUTPUT, _field(1, name.encode())) for name in names)
    return model + _field(_GRAPH, outputs)


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}  # inputs, outputs, name, operator
    attributes: dict[str, Attribute] = {}
    for number, value in _messages(message):
        if number in texts:
            texts[number].append(_text(value))
        elif number == 5:
            name, content = _attribute(value)
            if content is not None:
                attributes[name] = content
    inputs, outputs, names, operators = texts.values()  # of a repeated scalar field, the last value counts
    return Node(["", *operators][-1], ["", *names][-1], tuple(inputs), tuple(outputs), attributes)


def _attribute(message: memoryview) -> tuple[str, Attribute | None]:
    """Return the name and the value of an attribute."""
    name, content, numbers = "", None, list[int]()
    found: Attribute | None
    for number, wire, value, end in read_fields(message):
        found = None
        if number == 1 and wire == LENGTH:
            name = _text(message[value:end])
        elif number == 2 and wire == FIXED32:
            found = float(np.frombuffer(message[value:end], "<f4")[0])
        elif number == 3 and wire == VARINT:
            found = _signed(value)
        elif number == 4 and wire == LENGTH:
            found = _text(message[value:end])
        elif number == 5 and wire == LENGTH:
            found = _constant(message[value:end])
        elif number == 8:
            numbers += _numbers(wire, message, value, end)
        content = content if found is None else found
    return name, content if content is not None else tuple(numbers) or None


def _constant(message: memoryview) -> Constant:
    name, data_type, raw, dims = "", 0, None, list[int]()
    for number, wire, value, end in read_fields(message):
        if number == 1:
            dims += _numbers(wire, message, value, end)
        elif number == 2 and wire == VARINT:
            data_type = value
        elif number == 4 and wire == LENGTH:  # packed float32 numbers have the form of raw ones
            raw = message[value:end]
        elif number == 8 and wire == LENGTH:
            name = _text(message[value:end])
        elif number == 9 and wire == LENGTH:
            raw = message[value:end]
    return Constant(name, tuple(dims), data_type, raw)


def _numbers(wire: int, message: memoryview, value: int, end: int) -> list[int]:
    """Return the whole numbers of a repeated field: one number, or several that are packed."""
    if wire == VARINT:
        return [_signed(value)]
    found, number, place = list[int](), 0, 0
    for byte in message[value:end] if wire == LENGTH else b"":
        number |= (byte & 0x7F) << place
        place += 7
        if byte < 0x80:
            found.append(_signed(number))
            number, place = 0, 0
        if len(found) > _MOST_NUMBERS or place > 63:
            raise ValueError("a list of numbers is damaged")
    return found


def _messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the bytes of each field with a length."""
    for number, wire, value, end in read_fields(message):
        if wire == LENGTH:
            yield number, message[value:end]


def _field(number: int, content: bytes) -> bytes:
    """Return an encoded field with a length."""
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _text(value: memoryview) -> str:
    return value.tobytes().decode(errors="replace")
