"""Tests of the body limit, by announced length and by received bytes."""

import resource
import socket
import threading
from contextlib import suppress

import pytest
from http_site import Site, is_closed, post, read_all, read_answer, serving, statuses

from edgecnn.server.http.limits import Limits

LIMIT = 1 << 20
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def small(loop_kind: str):
    with serving(loop_kind, Limits(max_body_bytes=LIMIT)) as site:
        yield site


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
def test_rejects_a_length_above_the_limit(small: Site, expect: tuple[str, ...]):
    with small.client() as sock:
        sock.sendall(post("/echo", bytes(LIMIT + 1), *expect)[: -LIMIT - 1])
        answer = read_answer(sock)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert is_closed(sock)
    assert (small.desk.admitted, small.desk.refusals) == ([], [413])


def test_accepts_a_body_at_the_limit(small: Site):
    assert small.one(post("/echo", bytes(LIMIT))).body == bytes(LIMIT)
    assert small.one(CHUNKED + b"%x\r\n" % LIMIT + bytes(LIMIT) + b"\r\n0\r\n\r\n").body == bytes(LIMIT)


def test_sends_the_error_after_a_large_body(small: Site):
    with small.client() as sock:
        sock.sendall(post("/echo", bytes(16 * LIMIT)))
        assert read_answer(sock).status == 413


def test_disconnects_a_client_that_keeps_sending(small: Site):
    sent = 0
    with small.client() as sock:
        sock.sendall(post("/echo", bytes(LIMIT + 1))[: -LIMIT - 1])
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 64 * LIMIT:
                sent += sock.send(bytes(1 << 16))
    assert sent < 64 * LIMIT  # the server reads 32 MiB; the remaining bytes are in socket buffers


def test_rejects_a_large_chunked_body(small: Site):
    with small.client() as sock:
        sock.sendall(CHUNKED)
        before = peak_bytes()

        def pour() -> None:
            with suppress(OSError):
                while True:
                    sock.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

        pouring = threading.Thread(target=pour)
        pouring.start()
        answer = read_answer(sock)
        sock.shutdown(socket.SHUT_RDWR)
        pouring.join()
    assert answer.status == 413
    assert small.desk.refusals == [413]
    assert peak_bytes() - before < 16 * LIMIT


def test_joins_chunks_of_one_byte(loop_kind: str):
    chunks = b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n"
    with serving(loop_kind) as site, site.client() as sock:
        before = peak_bytes()
        sock.sendall(CHUNKED + chunks)
        assert read_answer(sock).body == b"x" * 1_000_000
        # The body, the response and the client's copy take a few megabytes. A list of the parts would take fifty.
        assert peak_bytes() - before < 12 << 20


def test_rejects_chunks_with_too_much_framing(small: Site):
    with small.client() as sock:
        sock.sendall(CHUNKED + b"1;" + b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        assert statuses(read_all(sock)) == [431]


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
