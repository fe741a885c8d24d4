"""Decompress request bodies and compress responses.

Decompression stops at a limit, because ten megabytes can contain ten gigabytes of zeros. zlib releases the GIL, so a
worker thread can decompress a large body.
"""

import math
import zlib
from collections.abc import Callable

from edgecnn.protocol.refusal import Refusal

ACCEPTED = "gzip, deflate"

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's `wbits` of the three formats
_SLICE = 16 << 10
"""Size of one input. zlib copies the unused input at the end of each gzip member, and a body may have many members."""
_STEP = 256 << 10
"""Maximum size of one output, and of one reservation."""
_MOST_MEMBERS = 10_000
_LEAST_WORTH = 256
"""Minimum size of a response to compress; a smaller one fits a packet anyway."""


def decode(body: bytes, content_encoding: str, *, limit: int, reserve: Callable[[int], object]) -> bytes:
    """Return the decompressed body, of at most `limit` bytes.

    `reserve` is called before memory is allocated, in steps; the sum is the size of the body and of its parts. It may
    raise an error, which ends the decompression.

    `deflate` means zlib's format (RFC 9110, section 8.4.1.2) or raw deflate data, which some clients send.

    Raises:
        Refusal: `unsupported` for another coding, or several; `too_large`; `invalid` if the body is not in this coding,
            is truncated, or has trailing data.
    """
    coding = content_encoding.strip().lower()
    if coding in {"", "identity"}:
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if coding in {"gzip", "x-gzip"}:
        return _inflated(body, _GZIP, limit, reserve)
    if coding == "deflate":
        return _inflated(body, _ZLIB if _has_zlib_header(body) else _RAW, limit, reserve)
    message = f"expected Content-Encoding to be one of {ACCEPTED}"
    raise Refusal("unsupported", message, headers=(("Accept-Encoding", ACCEPTED),))


def encode(body: bytes, accept_encoding: str) -> tuple[bytes, str | None]:
    """Return a body, compressed if the client accepts it, and its Content-Encoding or None."""
    if not accept_encoding or len(body) < _LEAST_WORTH:
        return body, None
    wanted = _qualities(accept_encoding)
    other = wanted.get("*", 0.0)
    gzip, deflate = wanted.get("gzip", wanted.get("x-gzip", other)), wanted.get("deflate", other)
    if max(gzip, deflate) <= 0.0 or wanted.get("identity", 0.0) > max(gzip, deflate):
        return body, None
    coding, bits = ("gzip", _GZIP) if gzip >= deflate else ("deflate", _ZLIB)
    encoded = zlib.compress(body, 1, wbits=bits)
    return (encoded, coding) if len(encoded) < len(body) else (body, None)


def _inflated(body: bytes, bits: int, limit: int, reserve: Callable[[int], object]) -> bytes:
    parts: list[bytes] = []
    size = reserved = 0
    members = 1
    inflater = zlib.decompressobj(bits)
    rest = memoryview(body)
    is_full = False  # then more output may follow without more input
    while rest or (is_full and not inflater.eof):
        if inflater.eof:
            members += 1
            if bits != _GZIP or members > _MOST_MEMBERS:
                raise Refusal("invalid", "the compressed body has trailing data")
            inflater = zlib.decompressobj(bits)
        piece, rest = rest[:_SLICE], rest[_SLICE:]
        step = min(limit + 1 - size, _STEP)
        if size + step > reserved:
            reserve(step)
            reserved += step
        try:
            part = inflater.decompress(piece, step)
        except zlib.error:
            raise Refusal("invalid", "the body does not match its Content-Encoding") from None
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        is_full = len(part) == step
        left = len(inflater.unused_data) + len(inflater.unconsumed_tail)
        if left:
            rest = memoryview(body)[len(body) - len(rest) - left :]
    if not inflater.eof:
        raise Refusal("invalid", "the compressed body is truncated")
    reserve(size)
    return b"".join(parts)


def _has_zlib_header(body: bytes) -> bool:
    """Return whether a body starts with zlib's two-byte header (RFC 1950, section 2.2)."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and body[0] >> 4 <= 7 and int.from_bytes(body[:2]) % 31 == 0


def _too_large(limit: int) -> Refusal:
    return Refusal("too_large", f"the decompressed body is larger than {limit} bytes")


def _qualities(accept_encoding: str) -> dict[str, float]:
    """Return the quality of each accepted coding, 0 to 1 (RFC 9110, section 12.5.3); 0 if it is malformed."""
    qualities: dict[str, float] = {}
    for entry in accept_encoding.split(","):
        coding, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        if coding:
            qualities[coding] = 0.0 if math.isnan(quality) else quality  # float() accepts `nan`
    return qualities
