"""Codec of BYTES tensors. A raw element is its length in 4 bytes, little-endian, then its bytes.

Triton Inference Server, docs/protocol/extension_binary_data.md.
"""

import struct
from collections.abc import Iterable
from typing import Any

from edgecnn.protocol.wording import found, invalid

_LENGTH = struct.Struct("<I")


def decode(name: str, body: bytes, *, start: int, size: int, count: int) -> tuple[bytes, ...]:
    """Return the `count` elements in the `size` bytes of the body from `start`.

    Raises:
        Refusal: these bytes are not exactly `count` elements.
    """
    end = start + size
    # Checked first, so that a large count allocates nothing.
    if size < 4 * count:
        raise invalid(f"input '{name}': expected {count} length-prefixed elements, found {size} bytes")
    elements = []
    for index in range(count):
        if end - start < 4:
            raise invalid(f"input '{name}': element {index} has no length")
        (length,) = _LENGTH.unpack_from(body, start)
        start += 4
        if length > end - start:
            raise invalid(f"input '{name}': element {index} has {length} bytes, found {end - start}")
        elements.append(body[start : start + length])
        start += length
    if start != end:
        raise invalid(f"input '{name}': unexpected {end - start} additional bytes after its {count} elements")
    return tuple(elements)


def from_strings(name: str, values: list[Any]) -> tuple[bytes, ...]:
    """Return JSON strings as UTF-8; raises `Refusal` if one is not a string."""
    for value in values:
        if type(value) is not str:
            raise invalid(f"input '{name}': expected strings as data, found {found(value)}")
    return tuple(value.encode() for value in values)


def encode(elements: Iterable[bytes]) -> bytes:
    """Return the raw form of elements."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))
