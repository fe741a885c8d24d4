"""Parts an inference request into its description, which protobuf reads, and its raw tensors, which stay in place.

Protobuf would copy the tensors twice, and takes far more memory for some messages than their bytes: an empty input is
two bytes on the wire. So nothing is read before its parts have been counted.

Protocol Buffers, "Encoding": a message is a sequence of fields, each a tag (its number and how its end is found) and a
value; integers of variable length hold seven bits a byte, the least first.
"""

from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import invalid

MAX_FIELDS = 1000
"""Inputs, outputs, parameters and raw tensors of a request together."""

MAX_DESCRIPTION_BYTES = 16 << 20
"""Of all but the raw tensors, as of JSON: once read, it may take some ten times as much memory."""

_RAW = 7 << 3 | 2
"""The tag of `ModelInferRequest.raw_input_contents`, and that a length follows."""

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_TAG, _LONGEST_VARINT = 5, 10


def split(body: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a request without its raw tensors, and of each of those where it begins and how many bytes it has.

    Args:
        body: a serialized ModelInferRequest, or anything.

    Raises:
        Refusal: it is no protobuf message ("invalid"), or describes itself at too great a length ("too_large").
    """
    raw: list[tuple[int, int]] = []
    described: list[bytes] = []
    position = kept = 0
    for _ in range(MAX_FIELDS):
        if position == len(body):
            break
        start = position
        tag, position = _integer(body, position, _LONGEST_TAG)
        if tag != _RAW:
            position = _skip(body, position, tag & 7)
            continue
        size, position = _integer(body, position, _LONGEST_TAG)
        described.append(body[kept:start])
        raw.append((position, size))
        position = kept = _within(body, position + size)
    if position != len(body):
        raise invalid(f"expected at most {MAX_FIELDS} inputs, outputs, parameters and raw tensors, found more")
    described.append(body[kept:])
    check_description(sum(map(len, described)), MAX_DESCRIPTION_BYTES)
    return b"".join(described), raw


def check_description(size: int, limit: int) -> None:
    """Do nothing where a request without its raw tensors is of a size that is read.

    Raises:
        Refusal: it is too large.
    """
    if size > limit:
        message = f"expected at most {limit} bytes beside raw tensors, found {size}"
        raise Refusal("too_large", f"{message}; send tensors in raw_input_contents")


def _skip(body: bytes, position: int, kind: int) -> int:
    """Return where a value ends."""
    if kind == _LENGTH:
        size, position = _integer(body, position, _LONGEST_TAG)
        return _within(body, position + size)
    if kind == _VARINT:
        return _integer(body, position, _LONGEST_VARINT)[1]
    if kind in {_EIGHT_BYTES, _FOUR_BYTES}:
        return _within(body, position + (8 if kind == _EIGHT_BYTES else 4))
    raise invalid(f"the message is damaged at byte {position}: a field has the wire type {kind}")


def _integer(body: bytes, position: int, longest: int) -> tuple[int, int]:
    """Return an integer, and where it ends."""
    value = 0
    for index, byte in enumerate(body[position : position + longest]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise invalid(f"the message is damaged at byte {position}: expected an integer")


def _within(body: bytes, end: int) -> int:
    if end > len(body):
        raise invalid(f"the message is cut off: expected {end} bytes or more, found {len(body)}")
    return end
