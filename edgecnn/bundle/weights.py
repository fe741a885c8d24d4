"""Prove how large the 8-bit weights of an ONNX graph are, from the file alone: a device has no ONNX package.

Reads the wire format of protocol buffers (protobuf.dev/programming-guides/encoding) as far as tensors lie in it, by the
field numbers of onnx.proto. Does not know what a tensor is for: every 8-bit one counts.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgecnn.errors import BundleError, WeightBeyondRange

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_UINT8, _INT8 = 2, 3  # TensorProto.DataType
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # fields of TensorProto

_TENSOR = "tensor"
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR},
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
        WeightBeyondRange: one is larger, or is stored so that nothing can be said of it.
        BundleError: the bytes are no graph.
    """
    try:
        for tensor in _tensors("model", model, 0):
            _check(tensor, limit, path)
    except (ValueError, IndexError):  # a length beyond the end, a wire type that is none
        raise BundleError(f"{path} is no ONNX graph: copy the bundle again") from None


def _tensors(kind: str, message: np.ndarray, depth: int) -> Iterator[np.ndarray]:
    """Find every tensor in a message."""
    if kind == _TENSOR:
        yield message
        return
    if depth > _DEEPEST:
        raise ValueError("too deep")
    children = _CHILDREN[kind]
    for number, value in _fields(message):
        if number in children and isinstance(value, np.ndarray):
            yield from _tensors(children[number], value, depth + 1)


def _check(tensor: np.ndarray, limit: int, path: Path) -> None:
    kind, rank, name, content = 0, 0, "", None
    for number, value in _fields(tensor):
        if number == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == _DIMS:
            rank += 1 if isinstance(value, int) else sum(1 for _ in _varints(value))
        elif number == _NAME and isinstance(value, np.ndarray):
            name = value.tobytes().decode(errors="replace")
        elif number == _RAW_DATA:
            content = value
    if kind not in (_INT8, _UINT8) or (kind == _UINT8 and rank < 2):  # zero points of activations are uint8
        return
    if kind == _UINT8 or not isinstance(content, np.ndarray):
        raise WeightBeyondRange(f"{path}: nothing is proven of the 8-bit weights {name!r}: quantize anew")
    integers = content.view(np.int8)
    largest = max(-int(integers.min(initial=0)), int(integers.max(initial=0)))
    if largest > limit:
        raise WeightBeyondRange(
            f"{path}: the weights {name!r} reach {largest}, the manifest claims at most {limit}: quantize anew"
        )


def _fields(message: np.ndarray) -> Iterator[tuple[int, int | np.ndarray]]:
    """Read a message: field numbers with an integer, or with the bytes of whatever has a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
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


def _varints(packed: np.ndarray) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(message: np.ndarray, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; return it and where the next field begins."""
    value = 0
    for place in range(10):
        byte = int(message[at + place])
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number of more than 64 bits")
