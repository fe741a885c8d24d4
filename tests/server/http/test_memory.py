"""Tests of the memory of connections: bodies, read-ahead and unread responses count in the budget."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from http_site import GET, Site, get, is_closed, post, read_answer, serving, until

from edgecnn.server.http.message import Response
from edgecnn.server.memory import SMALL_BYTES, MemoryBudget

MIB = 1 << 20
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(16 * MIB)


@pytest.fixture
def tight(budget: MemoryBudget) -> Iterator[Site]:
    with serving(budget=budget) as site:
        yield site


def chunk(size: int) -> bytes:
    return b"%x\r\n" % size + bytes(size) + b"\r\n"


def test_an_announced_body_holds_little(tight: Site, budget: MemoryBudget):
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(tight.client()).sendall(post("/echo", bytes(10 * MIB))[:200])
        assert until(lambda: len(tight.desk.admitted) == 8)
        assert budget.held_bytes == 8 * (256 << 10)
        assert tight.one(post("/echo", bytes(4 * MIB))).status == 200


def test_a_body_takes_memory_as_it_arrives(tight: Site, budget: MemoryBudget):
    with tight.client() as sock:
        sock.sendall(post("/echo", bytes(8 * MIB))[: 5 * MIB])
        assert until(lambda: 5 * MIB <= budget.held_bytes < 6 * MIB)
        answer = tight.one(post("/echo", bytes(13 * MIB)))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert until(lambda: budget.held_bytes == 0)
    assert tight.one(post("/echo", bytes(8 * MIB))).status == 200


def test_refuses_a_body_above_the_budget(tight: Site):
    answer = tight.one(post("/echo", bytes(15 * MIB)))
    assert answer.status == 413
    assert b"--memory-budget" in answer.body


def test_a_chunked_body_takes_memory_as_it_arrives(tight: Site, budget: MemoryBudget):
    with tight.client() as first, tight.client() as second:
        first.sendall(CHUNKED + chunk(10 * MIB))
        assert until(lambda: 10 * MIB <= budget.held_bytes < 11 * MIB)
        second.sendall(CHUNKED + chunk(10 * MIB))
        assert read_answer(second).status == 503
        assert until(lambda: budget.held_bytes <= 11 * MIB)
        first.sendall(chunk(10 * MIB))
        assert read_answer(first).status == 413
        assert until(lambda: budget.held_bytes == 0)  # before the clients leave
    assert tight.desk.dropped == 2


def slow_reader(site: Site, stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30.0)
    sock.connect(("127.0.0.1", site.port))
    sock.sendall(get("/big"))
    return sock


def test_an_unread_response_holds_memory(tight: Site, budget: MemoryBudget):
    with ExitStack() as stack:
        sock = slow_reader(tight, stack)
        assert until(lambda: 2 * MIB < budget.held_bytes <= 8 * MIB)
        assert read_answer(sock).body == tight.desk.big
        assert until(lambda: budget.held_bytes == 0)


def test_disconnects_a_slow_reader_without_memory(tight: Site, budget: MemoryBudget):
    with ExitStack() as stack:
        readers = [slow_reader(tight, stack) for _ in range(4)]
        assert until(lambda: len(tight.desk.handled) == 4)
        assert until(lambda: tight.listener.open_connections < 4)
        assert budget.held_bytes <= 14 * MIB
        assert len(readers) > tight.listener.open_connections > 0


def test_input_ahead_holds_memory(tight: Site, budget: MemoryBudget):
    with tight.client() as sock:
        sock.sendall(get("/held") + GET * 3000)
        assert until(lambda: 0 < budget.held_bytes < 128 << 10)
        tight.on_loop(lambda: tight.desk.handled[0].respond(Response(200, b"at last")))
        assert [read_answer(sock).status for _ in range(3001)] == [200] * 3001
        assert until(lambda: budget.held_bytes == 0)


def test_drops_input_ahead_without_memory(tight: Site, budget: MemoryBudget):
    others = budget.claim()
    others.take(14 * MIB)  # the part that large steps may use
    while budget.held_bytes < budget.total_bytes:
        others.take(min(SMALL_BYTES, budget.total_bytes - budget.held_bytes))
    with tight.client() as sock:
        sock.sendall(get("/held") + GET * 3000)
        assert until(lambda: tight.listener.busy == 1)
        time.sleep(0.2)
        tight.on_loop(lambda: tight.desk.handled[0].respond(Response(200, b"at last")))
        answer = read_answer(sock)
        assert (answer.body, answer.headers["connection"]) == (b"at last", "close")
        assert is_closed(sock)
    assert len(tight.desk.handled) == 1
    others.release()
