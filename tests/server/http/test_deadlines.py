"""Slow clients, with limits of fractions of a second."""

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


def test_slow_headers_are_given_up_however_steadily_they_come(hurried: Site):
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


def test_a_slow_body_is_given_up(hurried: Site):
    with hurried.client() as sock, taking(0.4):
        sock.sendall(post("/echo", b"body")[:-1])
        assert statuses(read_all(sock)) == [408]
    assert hurried.desk.refusals == [408]


def test_a_connection_without_a_request_is_closed_without_a_word(hurried: Site):
    with hurried.client() as sock, taking(0.4):
        assert is_closed(sock)
    with hurried.client() as sock:
        sock.sendall(GET)
        read_answer(sock)
        with taking(0.3):
            assert is_closed(sock)
    assert hurried.desk.refusals == []


def test_the_clock_of_the_next_request_starts_with_its_first_byte(loop_kind: str):
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


def test_a_request_may_be_worked_on_for_longer_than_any_deadline_of_the_connection(hurried: Site):
    with hurried.client() as sock:
        sock.sendall(get("/held"))
        time.sleep(1.2)
        assert hurried.desk.gone == []
        assert not hurried.on_loop(hurried.desk.handled[0].is_gone)


def test_an_answer_that_is_not_read_is_given_up(hurried: Site):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10.0)
        sock.connect(("127.0.0.1", hurried.port))
        sock.sendall(get("/big") + get("/after"))
        assert until(lambda: hurried.desk.handled)
        assert until(lambda: hurried.listener.open_connections == 0)
        assert len(hurried.desk.handled) == 1  # nothing was added to what is not read
        assert len(read_all(sock)) < len(hurried.desk.big)


def test_an_answer_that_is_read_late_but_in_time_is_whole(loop_kind: str):
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


def test_serves_others_beside_500_slow_clients(loop_kind: str):
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
