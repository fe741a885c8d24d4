"""Tests of malformed and ambiguous requests: 400, a closed connection, and no log line."""

import json

import pytest
from http_site import Site, get, statuses

from edgecnn.server.http.head import Malformed, body_length, read_head

LINE = "POST /echo HTTP/1.1\r\nHost: a\r\n"
CLIENT_HELLO = bytes.fromhex("16030102000100") + bytes(range(256)) + b"\x13\x01" * 128


def refused(site: Site, request: bytes, status: int = 400) -> str:
    answer = site.talk(request)
    assert statuses(answer) == [status]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close\r\n" in head + b"\r\n"
    assert b"Content-Type: application/json" in head
    assert site.desk.refusals == [status]
    assert site.desk.handled == []
    return json.loads(body)["error"]


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 3",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x10",
        "Content-Length: 1_0",
        "Content-Length: 1e3",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: \xb2",
        "Content-Length: 18446744073709551617",
        "Content-Length : 3",
        "Content-Length\r\n : 3",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:\n chunked",
        "X: y\nContent-Length: 3",
        "X: y\rContent-Length: 3",
        "X: a\x00b",
        "X y: z",
        ": z",
    ],
)
def test_rejects_ambiguous_framing(site: Site, framing: str):
    refused(site, f"{LINE}{framing}\r\n\r\n".encode("latin-1") + b"0\r\n\r\n")


@pytest.mark.parametrize(
    "chunks", [b"-1\r\n", b"0x3\r\nabc\r\n", b"3\nabc\n0\n\n", b"3\r\nabcd\r\n", b"g\r\n", b"1" * 17 + b"\r\n"]
)
def test_rejects_malformed_chunks(site: Site, chunks: bytes):
    refused(site, f"{LINE}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)


@pytest.mark.parametrize(
    "request_bytes",
    [
        CLIENT_HELLO,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\xc3\xa4T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / FTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00" * 100,
        b"{}\r\n\r\n",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_rejects_other_protocols(site: Site, request_bytes: bytes):
    refused(site, request_bytes)


@pytest.mark.parametrize(
    "host", [None, "", "a b", "a,b", "a/b", "a@b", "a:b", "http://a", "[::1", "a:123456", "ä", "a\r\nHost: a"]
)
def test_requires_one_host(site: Site, host: str | None):
    line = "" if host is None else f"Host: {host}\r\n"
    if host == "a,b":  # a name may contain a comma
        assert site.one(f"GET / HTTP/1.1\r\n{line}\r\n".encode()).status == 200
    else:
        assert "ost" in refused(site, f"GET / HTTP/1.1\r\n{line}\r\n".encode("latin-1"))


@pytest.mark.parametrize(
    "host", ["example.org", "a:8000", "127.0.0.1:80", "[::1]:8000", "a_b", "xn--bcher-kva.example"]
)
def test_accepts_valid_hosts(host: str):
    assert read_head("GET", "/x", {"host": host}, version="1.1").headers == {"host": host}


def test_limits_the_size_of_headers(site: Site):
    refused(site, get("/", "X: " + "y" * (1 << 20)), 431)


def test_limits_the_number_of_headers(site: Site):
    refused(site, get("/", *["X: y"] * 1000), 431)


def test_limits_trailers(site: Site):
    chunks = b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 20_000
    refused(site, f"{LINE}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks, 431)


def test_rejects_a_malformed_length():
    assert body_length({}, version="1.1") == 0
    assert body_length({"content-length": "007"}, version="1.1") == 7
    for length in ("", " 7", "+7", "7_0", "\u0667", "1" * 19):
        with pytest.raises(Malformed):
            body_length({"content-length": length}, version="1.1")
    with pytest.raises(Malformed):
        body_length({"transfer-encoding": "chunked"}, version="1.0")
