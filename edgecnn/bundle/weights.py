"""Prove how large the 8-bit weights of an ONNX graph are, from the file alone: a device has no ONNX package.

Reads the wire format of protocol buffers (protobuf.dev/programming-guides/encoding) as far as tensors lie in it, by the
field numbers of onnx.proto. Does not know what a tensor is for: every 8-bit one counts, and a graph that makes 8-bit
numbers out of other constants is refused, since nothing is proven of those.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgecnn.errors import BundleError, WeightBeyondRange

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_UINT8, _INT8, _KINDS = 2, 3, 64  # TensorProto.DataType; there are fewer kinds
_DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 8, 9, 13, 14  # fields of TensorProto
_INPUT, _OUTPUT, _OP_TYPE = 1, 2, 4  # fields of NodeProto
_MAKES_8_BITS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "Cast", "CastLike", "BitCast"})

_TENSOR = "tensor"
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR},
    _TENSOR: {},
}
"""Which fields of a message lead to tensors, and what they hold."""

_DEEPEST = 50  # messages within messages; ours have four


def check_weights(model: np.ndarray, limit: int, *, path: Path) -> None:
    """Prove that no 8-bit weight of a graph is larger than its bundle claims.

    Args:
        model: uint8 [B], the bytes of the ONNX file.
        limit: the largest magnitude that is claimed.
        path: the file, for messages.

    Raises:
        WeightBeyondRange: one is larger, or comes to be so that nothing can be said of it.
        BundleError: the bytes are no graph.
    """
    constants: set[str] = set()  # names, of every graph in the file: one too many is at worst a refusal
    nodes: list[np.ndarray] = []
    try:
        for kind, message in _messages("model", model, 0):
            if kind == _TENSOR:
                constants.add(_check_tensor(message, limit, path))
            else:
                nodes.append(message)
        for node in nodes:
            _check_node(node, constants, path)
    except (ValueError, IndexError):  # a length beyond the end, a wire type that is none
        raise BundleError(f"{path} is no ONNX graph: export and quantize anew") from None


def _messages(kind: str, message: np.ndarray, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    """Find every tensor and every node in a message, with what it is; the nodes of a graph in its order."""
    if kind in (_TENSOR, "node"):
        yield kind, message
    if depth > _DEEPEST:
        raise ValueError("too deep")
    children = _CHILDREN[kind]
    for number, value in _fields(message):
        if number in children and isinstance(value, np.ndarray):
            yield from _messages(children[number], value, depth + 1)


def _check_tensor(tensor: np.ndarray, limit: int, path: Path) -> str:
    """Check one tensor, and return its name."""
    kind, name, content, elsewhere = 0, "", None, False
    for number, value in _fields(tensor):
        if number == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME and isinstance(value, np.ndarray):
            name = _text(value)
        elif number == _RAW_DATA:
            content = value
        elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            elsewhere = True
    if not 0 < kind < _KINDS:  # also where a tensor is written in parts, which a reader would put together
        raise WeightBeyondRange(f"{path}: nothing is proven of {name!r}, whose type is unknown: quantize anew")
    if kind not in (_INT8, _UINT8):
        return name
    if not isinstance(content, np.ndarray) or elsewhere or (kind == _UINT8 and len(content) > 1):
        # One unsigned number is the zero point of an activation.
        raise WeightBeyondRange(f"{path}: nothing is proven of the 8-bit weights {name!r}: quantize anew")
    if kind == _INT8:
        integers = content.view(np.int8)
        largest = max(-int(integers.min(initial=0)), int(integers.max(initial=0)))
        if largest > limit:
            raise WeightBeyondRange(
                f"{path}: the weights {name!r} reach {largest}, the manifest claims at most {limit}: quantize anew"
            )
    return name


def _check_node(node: np.ndarray, constants: set[str], path: Path) -> None:
    """Refuse a node that makes 8-bit numbers out of constants; note what else comes of constants alone."""
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OP_TYPE: []}
    for number, value in _fields(node):
        if number in names and isinstance(value, np.ndarray):
            names[number].append(_text(value))
    if not constants.issuperset(filter(None, names[_INPUT])):
        return
    if not _MAKES_8_BITS.isdisjoint(names[_OP_TYPE]):
        raise WeightBeyondRange(
            f"{path}: nothing is proven of the weights {', '.join(names[_OUTPUT])}, which are computed: quantize anew"
        )
    constants.update(names[_OUTPUT])


def _text(value: np.ndarray) -> str:
    return value.tobytes().decode(errors="replace")


def _fields(message: np.ndarray) -> Iterator[tuple[int, int | np.ndarray]]:
    """Read a message: field numbers with an integer, or with the bytes of whatever has a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if number >> 29:
            raise ValueError("no field has such a number")
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _LENGTH:
            size, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if size > len(message) - at:
            raise ValueError("a length beyond the end")
        if wire == _LENGTH:
            yield number, message[at : at + size]
        at += size


def _varint(message: np.ndarray, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; return it and where the next field begins."""
    value = 0
    for place in range(10):
        byte = int(message[at + place])
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number of more than 64 bits")
