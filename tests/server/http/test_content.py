"""Tests of compressed bodies: valid, malformed and malicious."""

import functools
import gzip
import random
import tracemalloc
import zlib
from types import SimpleNamespace

import pytest

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.http import content
from edgecnn.server.http.content import encode

decode = functools.partial(content.decode, reserve=lambda size: None)
TEXT = b"an image, or so " * 1000
LIMIT = 1 << 20


def raw(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


def reason(body: bytes, coding: str, limit: int = LIMIT) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decode(body, coding, limit=limit)
    return caught.value


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0), " X-GZIP "),
        (zlib.compress(TEXT), "deflate"),
        (raw(TEXT), "deflate"),
        (b"".join(gzip.compress(part, mtime=0) for part in (TEXT[:5], b"", TEXT[5:])), "gzip"),
    ],
)
def test_decodes_a_body(body: bytes, coding: str):
    assert decode(body, coding, limit=len(TEXT)) == TEXT
    assert reason(body, coding, len(TEXT) - 1).reason == "too_large"


def test_decodes_every_deflate_level():
    for level in range(10):
        assert decode(zlib.compress(TEXT, level), "deflate", limit=LIMIT) == TEXT
        assert decode(zlib.compress(TEXT, level, wbits=-15), "deflate", limit=LIMIT) == TEXT


@pytest.mark.parametrize("cut", [0, 1, 5, 12, -9, -8, -1])
def test_rejects_a_truncated_body(cut: int):
    assert reason(gzip.compress(TEXT)[:cut], "gzip").reason == "invalid"
    assert reason(zlib.compress(TEXT)[:cut], "deflate").reason == "invalid"


def test_rejects_garbage_and_trailing_data():
    for coding in ("gzip", "deflate"):
        assert reason(b"garbage!" * 10, coding).reason == "invalid"
        assert reason(b"", coding).reason == "invalid"
    assert reason(gzip.compress(TEXT) + b"more", "gzip").reason == "invalid"
    assert reason(zlib.compress(TEXT) + b"more", "deflate").reason == "invalid"
    assert reason(zlib.compress(TEXT), "gzip").reason == "invalid"


def test_rejects_a_decompression_bomb():
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(compressor.compress(bytes(1 << 22)) for _ in range(64)) + compressor.flush()
    tracemalloc.start()
    try:
        assert reason(bomb, "gzip").reason == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()


def test_rejects_a_body_of_empty_members(monkeypatch: pytest.MonkeyPatch):
    fed: list[int] = []

    def decompressobj(bits: int) -> SimpleNamespace:
        inflater = zlib.decompressobj(bits)

        def decompress(piece: bytes, limit: int) -> bytes:
            fed.append(len(piece))
            part = inflater.decompress(piece, limit)
            ended = {"eof": inflater.eof, "unused_data": inflater.unused_data}
            member.__dict__.update(ended, unconsumed_tail=inflater.unconsumed_tail)
            return part

        member = SimpleNamespace(eof=False, decompress=decompress)
        return member

    monkeypatch.setattr(
        "edgecnn.server.http.content.zlib", SimpleNamespace(decompressobj=decompressobj, error=zlib.error)
    )
    assert reason(gzip.compress(b"") * 500_000, "gzip").reason == "invalid"
    assert len(fed) <= 10_000  # members
    assert max(fed) <= 16 << 10  # zlib copies the input after the end of a member


@pytest.mark.parametrize("size", [1, 255 << 10, 256 << 10, (256 << 10) + 1, (1 << 20) - 1, 1 << 20, 5_000_000])
def test_reserves_memory_before_it_is_allocated(size: int):
    body, reserved = bytes(size), []
    assert content.decode(gzip.compress(body), "gzip", limit=5_000_000, reserve=reserved.append) == body
    assert 2 * size <= sum(reserved) <= 2 * size + (512 << 10)
    assert max(reserved) <= max(size, 256 << 10)


def test_stops_when_there_is_no_memory():
    def refuse(size: int) -> None:
        raise Refusal("busy", f"no memory for {size} bytes")

    with pytest.raises(Refusal, match="no memory"):
        content.decode(gzip.compress(TEXT), "gzip", limit=LIMIT, reserve=refuse)


def test_decodes_nested_gzip_once():
    assert decode(gzip.compress(gzip.compress(TEXT)), "gzip", limit=LIMIT) == gzip.compress(TEXT)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, identity", "rot13", "*"])
def test_rejects_unsupported_codings(coding: str):
    refusal = reason(TEXT, coding)
    assert (refusal.status, refusal.headers) == (415, (("Accept-Encoding", "gzip, deflate"),))


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0, *", "deflate"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0", None),
        ("br, zstd", None),
        ("identity, gzip;q=0.5", None),
        ("GZIP ; Q=1.000", "gzip"),
        ("gzip;q=nan, deflate;q=x", None),
        (",;=,", None),
    ],
)
def test_encodes_with_an_accepted_coding(accept: str, coding: str | None):
    body, chosen = encode(TEXT, accept)
    assert chosen == coding
    assert decode(body, chosen or "", limit=len(TEXT)) == TEXT


def test_skips_compression_without_gain():
    assert encode(b"x" * 255, "gzip") == (b"x" * 255, None)
    noise = random.Random(0).randbytes(1000)
    assert encode(noise, "gzip") == (noise, None)
