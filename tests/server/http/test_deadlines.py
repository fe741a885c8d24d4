"""Tests of timeouts with slow clients."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from http_site import GET, Site, get, is_closed, post, read_all, read_answer, serving, statuses, until

from edgecnn.server.http.limits import Limits

SHORT = Limits(header_timeout_s=0.4, body_timeout_s=0.4, write_timeout_s=0.4, idle_timeout_s=0.4)


@pytest.fixture
def hurried(loop_kind: str):
    with serving(loop_kind, SHORT) as site:
        yield site


@contextmanager
def taking(least_s: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start >= least_s


def test_times_out_slow_headers(hurried: Site):
    with hurried.client() as sock, taking(0.4):
        sock.settimeout(0.1)
        said = b""
        for byte in GET[:-1] * 10:
            try:
                sock.sendall(bytes([byte]))
                said += sock.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            break
        assert statuses(said) == [408]
        assert b"Connection: close" in said
    assert until(lambda: hurried.desk.refusals == [408])


def test_times_out_a_slow_body(hurried: Site):
    with hurried.client() as sock, taking(0.4):
        sock.sendall(post("/echo", b"body")[:-1])
        assert statuses(read_all(sock)) == [408]
    assert hurried.desk.refusals == [408]


def test_closes_an_idle_connection_silently(hurried: Site):
    with hurried.client() as sock, taking(0.4):
        assert is_closed(sock)
    with hurried.client() as sock:
        sock.sendall(GET)
        read_answer(sock)
        with taking(0.3):
            assert is_closed(sock)
    assert hurried.desk.refusals == []


def test_header_timeout_starts_at_the_first_byte(loop_kind: str):
    with serving(loop_kind, Limits(header_timeout_s=1.0)) as site, site.client() as sock:
        sock.sendall(GET)
        read_answer(sock)
        time.sleep(1.5)
        sock.sendall(GET[:10])
        time.sleep(0.1)
        sock.sendall(GET[10:])
        assert read_answer(sock).status == 200
        sock.sendall(GET[:10])
        assert statuses(read_all(sock)) == [408]


def test_handling_has_no_timeout(hurried: Site):
    with hurried.client() as sock:
        sock.sendall(get("/held"))
        time.sleep(1.2)
        assert hurried.desk.gone == []
        assert not hurried.on_loop(hurried.desk.handled[0].is_gone)


def test_times_out_an_unread_response(hurried: Site):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10.0)
        sock.connect(("127.0.0.1", hurried.port))
        sock.sendall(get("/big") + get("/after"))
        assert until(lambda: hurried.desk.handled)
        assert until(lambda: hurried.listener.open_connections == 0)
        assert len(hurried.desk.handled) == 1  # the next request waits for the unread response
        assert len(read_all(sock)) < len(hurried.desk.big)


def test_completes_a_response_that_is_read_late(loop_kind: str):
    with serving(loop_kind) as site, site.client() as sock:
        sock.sendall(get("/big") + get("/after"))
        time.sleep(0.5)
        assert len(site.desk.handled) == 1
        assert read_answer(sock).body == site.desk.big
        assert read_answer(sock).body == b"/after"


def slow_clients(site: Site, stack: ExitStack) -> list[socket.socket]:
    """Connect 500 clients and send a part of their headers."""
    slow = []
    for _ in range(500):
        slow.append(stack.enter_context(site.client()))
        slow[-1].sendall(b"GET / HTTP/1.1\r\nX")
    return slow


def test_serves_during_500_slow_clients(loop_kind: str):
    with serving(loop_kind, Limits(header_timeout_s=3600.0)) as site, ExitStack() as stack:
        slow = slow_clients(site, stack)
        assert until(lambda: site.listener.open_connections == 500)
        with site.client() as good:
            for sock in slow[:200]:
                sock.sendall(b"-")
                good.sendall(GET)
                assert read_answer(good).status == 200
            assert site.listener.open_connections == 501


@pytest.mark.slow
def test_closes_500_slow_clients(loop_kind: str):
    with serving(loop_kind, Limits(header_timeout_s=2.0)) as site, ExitStack() as stack:
        for sock in slow_clients(site, stack):
            assert statuses(read_all(sock)) == [408]
    assert site.desk.refusals == [408] * 500
