"""Headers over a real socket: request ids and compression."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from asking import LENGTH, good, image, refusal
from server_process import Reply, Server, binary_request

GOOD = json.dumps(good()).encode()


@pytest.fixture(autouse=True)
def _neighbour(server: Server) -> Iterator[None]:
    with server.good_neighbour():
        yield


def packed_as(server: Server, body: bytes, coding: str) -> Reply:
    return server.post(body, {"Content-Encoding": coding})


@pytest.mark.parametrize("shown", ["7", "a b", "4bf92f3577b34da6-a3ce929d0e0e4736", '"<b>', "x" * 128])
def test_returns_the_request_id(shown: str, server: Server):
    for reply in (
        server.request("GET", "/v2", None, {"X-Request-ID": shown}),
        server.request("GET", "/nope", None, {"X-Request-ID": shown}),
        server.request("DELETE", "/v2", None, {"X-Request-ID": shown}),
        server.post(good(), {"X-Request-ID": shown}),
        server.post(b"hello", {"X-Request-ID": shown}),
    ):
        assert reply.headers["x-request-id"] == shown


@pytest.mark.parametrize("shown", ["", "x" * 129, "é", "a\tb", "a\x01b", "\xe2\x80\xae"])
def test_replaces_an_unsafe_request_id(shown: str, server: Server):
    head = f"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-ID: {shown}\r\n\r\n"
    answer = server.raw(head.encode("latin-1"))
    if answer.startswith(b"HTTP/1.1 200"):
        assert re.search(rb"\r\nX-Request-ID: [0-9a-f]{12}-\d+\r\n", answer)
    else:  # a control character is invalid in HTTP
        assert shown == "a\x01b"
        assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("end", ["\r\n ", "\r", "\n", "\n ", "\r\n\t"])
def test_splits_no_header_at_a_line_break(end: str, server: Server):
    head = f"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-ID: a{end}X-Evil: b\r\n\r\n"
    answer = server.raw(head.encode())
    assert answer
    assert b"\nX-Evil" not in answer


@pytest.mark.parametrize("sent", ["gzip", "deflate", "raw deflate", "identity", "GZIP", "x-gzip"])
def test_accepts_a_compressed_body(sent: str, server: Server):
    body, length = binary_request(server.images[:3])
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "deflate": zlib.compress(body),
        "raw deflate": bare.compress(body) + bare.flush(),  # some clients send this as deflate
        "identity": body,
    }.get(sent, gzip.compress(body))
    headers = {LENGTH: str(length), "Content-Encoding": sent.removeprefix("raw ")}
    assert server.post(packed, headers).body == server.golden


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_accepts_a_compressed_image(coding: str, server: Server):
    file = server.bundle.self_test().encoded[0].content
    headers = {"Content-Type": "image/png"}
    packed = gzip.compress(file) if coding == "gzip" else zlib.compress(file)
    plain = server.request("POST", server.infer_path, file, headers)
    reply = server.request("POST", server.infer_path, packed, headers | {"Content-Encoding": coding})
    assert (reply.status, reply.body) == (200, plain.body)


@pytest.mark.parametrize(
    ("asked", "given"), [("gzip", "gzip"), ("deflate", "deflate"), ("deflate, gzip;q=0.5", "deflate"), ("*", "gzip")]
)
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_compresses_the_answer(binary: bool, asked: str, given: str, server: Server):
    images = np.repeat(server.images[:1], 32, axis=0)
    body, length = binary_request(images)
    headers = {LENGTH: str(length)}
    if not binary:
        body = json.dumps(good(inputs=[image(shape=list(images.shape), data=images.ravel().tolist())])).encode()
        headers = {}
    plain, packed = (server.post(body, headers | {"Accept-Encoding": each}) for each in ("identity", asked))
    assert packed.headers["content-encoding"] == given
    assert len(packed.body) < len(plain.body)
    assert (gzip.decompress if given == "gzip" else zlib.decompress)(packed.body) == plain.body
    assert packed.headers.get(LENGTH.lower()) == plain.headers.get(LENGTH.lower())


@pytest.mark.parametrize("asked", ["br", "zstd", "gzip;q=0", "identity", "*;q=0", "gzip;q=x", ",", "x" * 1000])
def test_sends_plain_if_compression_is_refused(asked: str, server: Server):
    body, length = binary_request(server.images)
    wanted = server.post(body, {LENGTH: str(length)})
    reply = server.post(body, {LENGTH: str(length), "Accept-Encoding": asked})
    assert (reply.body, reply.headers.get("content-encoding")) == (wanted.body, None)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, deflate", "x"])
def test_rejects_an_unknown_coding_with_415(coding: str, server: Server):
    reply = packed_as(server, b"{}", coding)
    assert refusal(reply, 415) == "expected Content-Encoding to be one of gzip, deflate"
    assert reply.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_rejects_a_body_in_the_wrong_coding(coding: str, server: Server):
    packed = gzip.compress(GOOD) if coding == "gzip" else zlib.compress(GOOD)
    foreign = "the body does not match its Content-Encoding"
    assert refusal(packed_as(server, GOOD, coding)) == foreign
    assert refusal(packed_as(server, packed[:-9], coding)) == "the compressed body is truncated"
    more = refusal(packed_as(server, packed + b"more", coding))
    assert more == (foreign if coding == "gzip" else "the compressed body has trailing data")
    assert refusal(packed_as(server, gzip.compress(gzip.compress(GOOD)), "gzip")).startswith("invalid JSON at byte 0")
    assert refusal(packed_as(server, b"", coding)) == "the compressed body is truncated"


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/repository/index"])
@pytest.mark.parametrize("header", ["Content-Length: 67000000", "Transfer-Encoding: chunked"])
def test_rejects_a_large_unused_body_unread(path: str, header: str, server: Server):
    method = "POST" if path.endswith("index") else "GET"
    answer = server.raw(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
