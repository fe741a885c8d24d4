"""A killed worker or supervisor, and engines that crash, hang or run out of memory.

The number in a comment is a row in the project's table of faults.
"""

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_asking import Asker, asking, error_of
from held_engine import holding
from server_process import Server, read_all, serving, wait_for

from edgecnn.errors import UsageError
from edgecnn.server.supervisor.listening import listen

PATIENCE_S = 30.0
MIB = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, prlimit and PDEATHSIG")


def logged(server: Server, text: str) -> None:
    wait_for(lambda: any(text in line for line in server.lines), limit_s=PATIENCE_S)


def test_restarts_a_killed_worker_under_load():  # 71
    with serving("--grpc-port", 0) as server, asking(server, grpc__max_reconnect_backoff_ms=200) as asker:
        expected = asker.infer(server.images[:3])
        with _load(server) as outcomes, server.connect() as half:
            wait_for(lambda: len(outcomes) > 20)
            half.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b'{"live":true}'):  # the worker has accepted this connection
                answer += half.recv(4096)
            half.sendall(b"POST /v2/repository/index HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            (worker,) = server.worker_pids()
            os.kill(worker, signal.SIGKILL)
            assert error_of(lambda: asker.ask("ServerReady"))[0] == "UNAVAILABLE"
            outcomes.append(0 if read_all(half) == b"" else -1)  # all other clients may be between two requests
            seen: list[int] = []
            while 200 not in seen:
                with contextlib.suppress(ConnectionError, http.client.HTTPException):
                    seen.append(server.get("/v2/health/ready").status)
            assert server.infer(server.images[:3]).body == server.golden  # a ready server answers
            assert set(seen) == {503, 200}
            before = outcomes.count(200)
            wait_for(lambda: outcomes.count(200) > before + 20)
        assert set(outcomes) == {0, 200, 503}  # closed connections, results, "not ready"
        logged(server, "the worker ended by SIGKILL and is restarted")
        logged(server, "the worker is ready again")
        wait_for(lambda: _is_ready(asker))  # on the same gRPC port
        assert np.array_equal(asker.infer(server.images[:3]), expected)
        server.unharmed()
        assert server.stop() == 0


def _is_ready(asker: Asker) -> bool:
    with contextlib.suppress(grpc.RpcError):
        return asker.ask("ServerReady")[0] == b"\x08\x01"
    return False


@contextlib.contextmanager
def _load(server: Server) -> Iterator[list[int]]:
    """Send requests in the background and yield their statuses: 0 for a closed connection, -1 for a wrong result."""
    ended = threading.Event()
    outcomes: list[int] = []

    def ask() -> None:
        while not ended.is_set():
            try:
                reply = server.infer(server.images[:3])
            except (ConnectionError, http.client.HTTPException):
                outcomes.append(0)
            else:
                right = reply.status == 503 or reply.body == server.golden
                outcomes.append(reply.status if right else -1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_restarts_after_an_engine_crash(tmp_path: Path, name: str):  # 71
    with holding(tmp_path) as held:
        with held.engine.held():
            lost = [held.occupy(), *held.queue(3)]
            held.engine.set("crash", name)
        for answer in lost:
            with pytest.raises(ConnectionError):
                answer.result(PATIENCE_S)
        logged(held.server, f"the worker ended by {name} and is restarted")
        held.server.unharmed()
        assert held.server.stop() == 0


@pytest.mark.slow
def test_restarts_a_hung_engine(tmp_path: Path):  # 71
    with holding(tmp_path, "--stall-timeout-s", 0.5) as held:
        with held.engine.held():
            lost = held.occupy()
            logged(held.server, "the worker ended with exit code 70 and is restarted")
        with pytest.raises(ConnectionError):
            lost.result(PATIENCE_S)
        logged(held.server, "the engine hangs: a run exceeded the stall timeout")
        held.server.unharmed()


def test_worker_dies_with_a_killed_supervisor(tmp_path: Path):  # 72
    shared = set(Path("/dev/shm").iterdir())
    with holding(tmp_path) as held:
        pids = held.server.worker_pids()
        with held.engine.held():
            lost = held.occupy()
            held.server.process.kill()
            with pytest.raises(ConnectionError):
                lost.result(PATIENCE_S)
        held.server.process.wait(PATIENCE_S)
        wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
        wait_for(lambda: _is_free(held.server.port))
    assert set(Path("/dev/shm").iterdir()) <= shared


def _is_free(port: int) -> bool:
    try:
        listen("127.0.0.1", port).close()
    except UsageError:
        return False
    return True


@contextlib.contextmanager
def _room(server: Server, size: int) -> Iterator[None]:
    """Limit the worker's memory to its current size plus `size` bytes."""
    (pid,) = server.worker_pids()
    found = re.search(r"VmData:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    limits = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (1024 * int(found[1]) + size, limits[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # the worker may have restarted without the limit
            resource.prlimit(pid, resource.RLIMIT_DATA, limits)


@pytest.mark.slow
def test_recovers_when_the_engine_lacks_memory(tmp_path: Path):  # 74
    with holding(tmp_path) as held:
        with _room(held.server, 64 * MIB):
            held.engine.set("memory", 512 * MIB)
            failed = held.ask().result(PATIENCE_S)
            assert failed.status == 500
            assert failed.error.startswith("the engine failed on this ")
            held.engine.clear("memory")
            wait_for(lambda: held.ask().result(PATIENCE_S).status == 200)
        held.server.unharmed(despite=" failed model=")


@pytest.mark.slow
def test_survives_a_batch_that_exceeds_memory():  # 74
    with serving("--max-batch", 4096) as server:
        many = np.repeat(server.images[:1], 4096, axis=0)
        with _room(server, 12 * MIB):
            assert server.infer(many).status in (500, 503)
            assert server.infer(server.images[:3]).body == server.golden
        server.unharmed(despite=" failed model=")
        assert (server.logits(many[:64])[0] == server.logits(many[:1])).all()


def test_survives_a_body_that_exceeds_memory():  # 74
    with serving("--log-format", "json") as server:
        refusals: list[str] = []
        with _room(server, 24 * MIB):  # other clients may fail meanwhile
            for size in range(4, 40, 4):  # memory may run out anywhere between the socket and the model
                with contextlib.suppress(ConnectionError):  # the event loop lacked memory and closed the connection
                    reply = server.post(b" " * (size * MIB))
                    assert reply.status in (400, 413, 500, 503)
                    assert reply.status != 503 or reply.headers["retry-after"] == "1"
                    refusals.append(reply.error)
        assert "not an HTTP request" not in refusals
        assert all(isinstance(json.loads(line), dict) for line in server.lines)
        server.unharmed(despite="Fatal error on transport")
