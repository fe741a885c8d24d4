"""Tests of fair turns: a client that sends many requests at once does not delay other clients."""

import socket
import time

import pytest
from http_site import GET, Site, get, read_answer, serving, statuses, until

from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Exchange
from edgecnn.server.http.reader import Reader

FLOOD = 500
RESET = b"\1\0\0\0\0\0\0\0"


def slow_down(site: Site) -> None:
    """Let each request to /flood take two milliseconds of the event loop, as a page of metrics does."""
    handle = site.desk.handle

    def slow(exchange: Exchange) -> None:
        if exchange.head.path == "/flood":
            time.sleep(0.002)
        handle(exchange)

    site.desk.handle = slow  # type: ignore[method-assign]


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "open"])
def test_pipelined_requests_do_not_delay_others(loop_kind: str, is_new: bool):
    with serving(loop_kind) as site, site.client() as flood, site.client() as other:
        slow_down(site)
        if not is_new:
            other.sendall(GET)
            read_answer(other)
        flood.sendall(get("/flood") * FLOOD)
        assert until(lambda: len(site.desk.handled) > 3)
        for _ in range(3):
            other.sendall(GET)
            assert read_answer(other).status == 200
        assert len(site.desk.handled) < FLOOD


def test_floods_take_turns():
    with serving() as site, site.client() as first, site.client() as second:
        slow_down(site)
        first.sendall(get("/flood") * FLOOD)
        assert until(lambda: len(site.desk.handled) > 3)
        second.sendall(get("/flood") * 3)
        for _ in range(3):
            assert read_answer(second).status == 200
        assert len(site.desk.handled) < FLOOD


def test_answers_all_pipelined_requests():
    with serving() as site, site.client() as sock:
        sock.sendall(
            get("/a") * 2000 + get("/forbidden") * 2000 + b"\r\n" * 100_000 + get("/last", "Connection: close")
        )
        answers = b""
        while part := sock.recv(1 << 16):
            answers += part
    assert statuses(answers) == [200] * 2000 + [404] * 2000 + [200]


def test_the_wait_for_a_turn_is_no_timeout():
    short = Limits(header_timeout_s=0.3, body_timeout_s=0.3, idle_timeout_s=0.3)
    with serving(limits=short) as site, site.client() as first, site.client() as second:
        slow_down(site)
        for sock in (first, second):
            sock.sendall(get("/flood") * 150)
        for sock in (first, second):
            for _ in range(150):
                assert read_answer(sock).status == 200


def test_detects_a_disconnect_in_the_queue():
    with serving() as site:
        with site.client() as flood:
            slow_down(site)
            flood.sendall(get("/flood") * FLOOD)
            assert until(lambda: len(site.desk.handled) > 3)
            flood.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        assert until(lambda: site.listener.open_connections == 0)
        assert len(site.desk.handled) < FLOOD


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"", b"\r\n" * 100_000),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 40_000),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n\n\r\n" * 40_000),
    ],
    ids=["empty lines", "chunks", "chunks of line breaks"],
)
def test_a_step_is_short(head: bytes, more: bytes):
    reader = Reader(Limits())
    reader.add(head + more)
    while reader.waiting():
        before = reader.waiting()
        reader.step()
        assert 0 < before - reader.waiting() <= 8 << 10
