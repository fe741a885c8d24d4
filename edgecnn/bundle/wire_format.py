"""Read the fields of a protocol buffers message, without a schema and without copying values.

The wire format is described at protobuf.dev/programming-guides/encoding. A field is a tag (number and wire type) and a
value. An integer has seven bits per byte, the lowest first. A tag or a length has at most five bytes, as in protobuf's
parsers.
"""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types. A field of type `LENGTH` holds a string, bytes, a message or packed numbers."""

_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_TAG, _LONGEST_VARINT = 5, 10
_NUMBER_BITS = 29


class WireFormatError(ValueError):
    """The bytes are not a message."""


def read_fields(message: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, wire type, value and end offset of each field.

    The value of a `VARINT` is the unsigned integer. For other types it is the offset of the value's first byte.

    Raises:
        WireFormatError: the bytes are not a message.
    """
    position, size = 0, len(message)
    while position < size:
        start, tag = position, message[position]
        if tag < 0x80:  # fast path without a call
            position += 1
        else:
            tag, position = _read_varint(message, position, _LONGEST_TAG)
        number, wire = tag >> 3, tag & 7
        if number >> _NUMBER_BITS:
            raise WireFormatError(f"the message is damaged at byte {start}: a field has the number {number}")
        if wire == VARINT:
            value, position = _read_varint(message, position, _LONGEST_VARINT)
        elif wire == LENGTH:
            length, value = _read_varint(message, position, _LONGEST_TAG)
            position = value + length
        elif wire in _SIZES:
            value = position
            position += _SIZES[wire]
        else:
            raise WireFormatError(f"the message is damaged at byte {position}: a field has the wire type {wire}")
        if position > size:
            raise WireFormatError(f"the message is cut off: expected {position} bytes or more, found {size}")
        yield number, wire, value, position


def read_integers(message: memoryview, most: int) -> list[int]:
    """Return the unsigned integers of a packed field, at most `most`.

    Raises:
        WireFormatError: the bytes are not integers, or there are more.
    """
    position, values = 0, list[int]()
    while position < len(message):
        if len(values) == most:
            raise WireFormatError(f"expected at most {most} integers")
        value, position = _read_varint(message, position, _LONGEST_VARINT)
        values.append(value)
    return values


def _read_varint(message: bytes | memoryview, position: int, longest: int) -> tuple[int, int]:
    """Read an integer of at most `longest` bytes. Return it and the offset of its end."""
    value = 0
    for place, byte in enumerate(message[position : position + longest]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    raise WireFormatError(f"the message is damaged at byte {position}: expected an integer")
