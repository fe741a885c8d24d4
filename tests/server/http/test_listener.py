"""Tests of connection limits, draining and stopping."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

from http_site import GET, Site, get, is_closed, post, read_all, read_answer, serving, statuses, until

from edgecnn.host.child import child_environment
from edgecnn.server.http.limits import Limits
from edgecnn.server.http.listener import Listener
from edgecnn.server.http.message import Response
from edgecnn.server.memory import MemoryBudget

FEW_DESCRIPTORS = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from http_site import GET, read_answer, serving, until

with serving(sys.argv[1]) as site:
    # The clients run in another process, because they must not share the file descriptors.
    print(site.port, flush=True)
    sys.stdin.readline()
    full, before = site.listener.open_connections, time.process_time()
    time.sleep(1.0)
    used = time.process_time() - before
    print(full, used, flush=True)
    sys.stdin.readline()
    assert until(lambda: site.listener.open_connections == 0)
"""


def test_recovers_from_missing_descriptors(loop_kind: str):
    command = [sys.executable, "-c", FEW_DESCRIPTORS, loop_kind]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=child_environment()
    ) as child:
        assert child.stdin
        assert child.stdout
        port = int(child.stdout.readline())
        with ExitStack() as stack:
            socks = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0)) for _ in range(100)
            ]
            socks[0].sendall(GET)
            assert read_answer(socks[0]).status == 200
            time.sleep(0.5)
            print(file=child.stdin, flush=True)
            open_connections, used_s = child.stdout.readline().split()
            assert 30 < int(open_connections) < 64
            assert float(used_s) < 0.3  # of one second: no busy loop
            socks[0].sendall(GET)  # open connections are served
            assert read_answer(socks[0]).status == 200
            for sock in socks[:60]:
                sock.close()
            socks[-1].sendall(GET)
            assert read_answer(socks[-1]).status == 200
        print(file=child.stdin, flush=True)
        assert child.wait(30) == 0


def test_waits_for_a_close_at_the_limit(loop_kind: str):
    with serving(loop_kind, Limits(max_connections=3)) as site, ExitStack() as stack:
        socks = [stack.enter_context(site.client()) for _ in range(5)]
        for sock in socks:
            sock.sendall(get("/held") if sock in socks[:3] else GET)
        assert until(lambda: site.listener.open_connections == len(site.desk.handled) == 3)
        socks[3].settimeout(0.3)
        assert not is_closed(socks[3], within_s=0.3)
        socks[0].close()
        socks[3].settimeout(10.0)
        assert read_answer(socks[3]).status == 200
        assert site.listener.open_connections == 3
        socks[1].close()
        assert read_answer(socks[4]).status == 200
        for sock in socks:
            sock.close()


def test_accepts_after_one_becomes_idle(loop_kind: str):
    with serving(loop_kind, Limits(max_connections=2)) as site, ExitStack() as stack:
        busy = [stack.enter_context(site.client()) for _ in range(2)]
        for sock in busy:
            sock.sendall(get("/held"))
        assert until(lambda: len(site.desk.handled) == 2)
        late = stack.enter_context(site.client())
        late.sendall(GET)
        assert not is_closed(late, within_s=0.3)
        site.on_loop(lambda: site.desk.handled[0].respond(Response(200, b"at last")))
        assert read_answer(late).status == 200
        assert read_answer(busy[0]).body == b"at last"


def test_two_listeners_share_a_socket(loop_kind: str):
    with serving(loop_kind) as site:
        second = Listener(site.listener._socket.dup(), site.desk, budget=MemoryBudget(1 << 30))
        second._socket.setblocking(False)
        site.on_loop(second.start)
        with ExitStack() as stack:
            socks = [stack.enter_context(site.client()) for _ in range(50)]
            for sock in socks:
                sock.sendall(GET)
            assert [read_answer(sock).status for sock in socks] == [200] * 50
            assert site.listener.open_connections + second.open_connections == 50
        assert asyncio.run_coroutine_threadsafe(second.stop(1.0), site.loop).result(10.0)
        second._socket.close()


def test_drain_closes_after_each_response(site: Site):
    with site.client() as idle, site.client() as late, site.client() as busy:
        for sock in (idle, late):
            sock.sendall(GET)
            assert "connection" not in read_answer(sock).headers
        busy.sendall(get("/slow"))
        assert until(lambda: site.listener.busy == 1)
        site.on_loop(site.listener.drain)
        start = time.monotonic()
        late.sendall(GET)
        assert read_answer(late).headers["connection"] == "close"
        assert is_closed(late)
        answer = read_answer(busy)
        assert (answer.body, answer.headers["connection"]) == (b"slow", "close")
        assert is_closed(idle)
        assert time.monotonic() - start > 0.4
        assert b"Connection: close" in site.talk(GET)  # new connections get a response too


def test_stop_waits_for_pending_requests(site: Site):
    with site.client() as busy, site.client() as sending, site.client():
        busy.sendall(get("/slow"))
        body = post("/echo", b"body")
        sending.sendall(body[:-1])
        assert until(lambda: site.listener.busy == 1 and len(site.desk.admitted) == 2)
        site.loop.call_soon_threadsafe(site.loop.call_later, 0.1, sending.sendall, body[-1:])
        assert site.stop(5.0)
        assert read_answer(busy).body == b"slow"
        assert read_answer(sending).body == b"body"
        assert site.listener.open_connections == 0


def test_stop_waits_for_a_first_request(site: Site):
    with site.client() as new:
        assert until(lambda: site.listener.open_connections == 1)
        site.loop.call_soon_threadsafe(site.loop.call_later, 0.1, new.sendall, GET)
        assert site.stop(5.0)
        assert read_answer(new).headers["connection"] == "close"


def test_stop_ends_after_the_grace_period(site: Site):
    with site.client() as busy:
        busy.sendall(get("/held"))
        assert until(lambda: site.listener.busy == 1)
        assert not site.stop(0.3)  # the request is still handled
        assert statuses(read_all(busy)) == []
    assert site.desk.gone == ["/held"]
    site.on_loop(lambda: site.desk.handled[0].respond(Response(200, b"")))


def test_accepts_nothing_after_a_stop(site: Site):
    assert site.stop(0.0)
    with site.client() as sock:
        sock.sendall(GET)
        assert not is_closed(sock, within_s=0.5)
        assert site.desk.handled == []
