"""Tests of the edges of limits: the limit itself is allowed, one more is refused, and timeouts are exact to a check."""

import socket
import time
from collections.abc import Callable

import pytest
from http_site import GET, Site, get, post, read_all, read_answer, serving, statuses

from edgecnn.server.http.limits import Limits
from edgecnn.server.http.listener import SWEEP_S

LINE = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
TIMEOUT_S = 0.6
SLACK_S = 2.0
"""Delay of a busy machine."""


def of_size(size: int) -> bytes:
    """Return a head of a number of bytes."""
    return get("/x", "X: " + "y" * (size - len(get("/x", "X: "))))


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_size_of_headers(site: Site, more: int, status: int):
    size = Limits().max_header_bytes + more
    assert site.one(of_size(size)).status == status
    with site.client() as sock:
        for part in (b"\r\n", of_size(size)[:1000], of_size(size)[1000:-1], of_size(size)[-1:]):
            sock.sendall(part)
            time.sleep(0.02)
        assert read_answer(sock).status == status


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_number_of_headers(site: Site, more: int, status: int):
    count = Limits().max_headers + more
    assert site.one(get("/x", *["X: y"] * (count - 1))).status == status  # and Host
    chunked = LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"X: y\r\n" * (count - 2) + b"\r\n"
    assert site.one(chunked).status == status


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_size_of_bodies(loop_kind: str, more: int, status: int):
    size = 100_000
    with serving(loop_kind, Limits(max_body_bytes=size)) as site:
        body = bytes(size + more)
        assert site.one(post("/echo", body)).status == status
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:99_999], body[99_999:]))
        assert site.one(LINE + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n").status == status


def _head(sock: socket.socket) -> bytes:
    sock.sendall(GET[:-1])
    return GET[-1:]


def _body(sock: socket.socket) -> bytes:
    sock.sendall(post("/echo", b"body")[:-1])
    return b"y"


def _idle(sock: socket.socket) -> bytes:
    sock.sendall(GET)
    read_answer(sock)
    return GET


def _first(sock: socket.socket) -> bytes:
    return GET


@pytest.mark.parametrize(
    ("begin", "said"),
    [(_head, [408]), (_body, [408]), (_idle, []), (_first, [])],
    ids=["head", "body", "idle", "first"],
)
def test_timeouts(begin: Callable[[socket.socket], bytes], said: list[int]):
    limits = Limits(header_timeout_s=TIMEOUT_S, body_timeout_s=TIMEOUT_S, idle_timeout_s=TIMEOUT_S)
    with serving(limits=limits) as site:
        with site.client() as sock:
            rest = begin(sock)
            time.sleep(TIMEOUT_S - 0.35)
            sock.sendall(rest)
            assert read_answer(sock).status == 200
        with site.client() as sock:
            begin(sock)
            start = time.monotonic()
            assert statuses(read_all(sock)) == said
            assert TIMEOUT_S - 0.1 <= time.monotonic() - start <= TIMEOUT_S + SWEEP_S + SLACK_S
