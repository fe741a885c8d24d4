"""Decodes compressed request bodies and encodes responses.

Nothing is inflated beyond its limit: ten megabytes can hold ten gigabytes of zeros. zlib releases Python's lock, so
another thread may inflate a large body.
"""

import math
import zlib

from edgecnn.protocol.refusal import Refusal

ACCEPTED = "gzip, deflate"

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's numbers for what is around the deflated bytes
_SLICE = 16 << 10
"""Fed at once. zlib copies what is left of it at the end of a member, and a body may be nothing but ends."""
_MOST_MEMBERS = 10_000
_LEAST_WORTH = 256
"""Bytes below which an answer goes as it is: it fits a packet either way."""


def decode(body: bytes, content_encoding: str, *, limit: int) -> bytes:
    """Return a decoded body of at most `limit` bytes.

    `deflate` is zlib's format (RFC 9110, section 8.4.1.2), and also the bare deflated bytes that some clients send.

    Raises:
        Refusal: `unsupported` for another coding, or several; `too_large`; `invalid` if the body is not in that coding,
            is cut off, or goes on after its end.
    """
    coding = content_encoding.strip().lower()
    if coding in {"", "identity"}:
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if coding in {"gzip", "x-gzip"}:
        return _inflated(body, _GZIP, limit)
    if coding == "deflate":
        return _inflated(body, _ZLIB if _has_zlib_header(body) else _RAW, limit)
    message = f"expected a Content-Encoding of {ACCEPTED}, and one of them"
    raise Refusal("unsupported", message, headers=(("Accept-Encoding", ACCEPTED),))


def encode(body: bytes, accept_encoding: str) -> tuple[bytes, str | None]:
    """Return a body for a client, and its Content-Encoding; None if it is not compressed."""
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


def _inflated(body: bytes, bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    members = 1
    inflater = zlib.decompressobj(bits)
    rest = memoryview(body)
    while rest:
        if inflater.eof:
            members += 1
            if bits != _GZIP or members > _MOST_MEMBERS:
                raise Refusal("invalid", "the encoded body goes on after its end")
            inflater = zlib.decompressobj(bits)
        piece, rest = rest[:_SLICE], rest[_SLICE:]
        try:
            part = inflater.decompress(piece, limit + 1 - size)
        except zlib.error:
            raise Refusal("invalid", "the body is not in the coding that Content-Encoding names") from None
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        left = len(inflater.unused_data) + len(inflater.unconsumed_tail)
        if left:
            rest = memoryview(body)[len(body) - len(rest) - left :]
    if not inflater.eof:
        raise Refusal("invalid", "the encoded body is cut off")
    return b"".join(parts)


def _has_zlib_header(body: bytes) -> bool:
    """Tell zlib's two bytes from the beginning of a bare deflated block (RFC 1950, section 2.2)."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and body[0] >> 4 <= 7 and int.from_bytes(body[:2]) % 31 == 0


def _too_large(limit: int) -> Refusal:
    return Refusal("too_large", f"the body has more than {limit} bytes when it is decoded")


def _qualities(accept_encoding: str) -> dict[str, float]:
    """Return what a client thinks of each coding, 0 to 1 (RFC 9110, section 12.5.3); 0 where it cannot be read."""
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
            qualities[coding] = 0.0 if math.isnan(quality) else quality  # float() reads it
    return qualities
