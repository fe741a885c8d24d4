"""Workers that do not answer or write garbage, and a system without descriptors, disk or terminal."""

import json
import os
import pty
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_workers import BABBLING, SERVING, SILENT_AT_FIRST
from supervised import PATIENCE_S, Server

from edgecnn.server.supervisor.worker_process import Restarts

IMPATIENT = "Restarts(first_s=0.05, unwell_s=0.5, killed_s=1.5)"
PATIENT = "Restarts(first_s=0.2, longest_s=0.2, limit=1000)"


def test_kills_a_worker_that_does_not_answer(serve: Callable[..., Server]):
    server = serve(SILENT_AT_FIRST, restarts=IMPATIENT)
    line = server.logged("ERROR the worker does not answer: it is killed stack=")
    assert "fake_worker.py" in line
    server.logged("the worker ended by SIGKILL and is restarted in")
    server.logged("the worker is ready again")
    assert server.ask() == server.pids()[1]
    assert server.end() == 0


def test_restarts_before_the_service_manager():
    restarts = Restarts()
    assert restarts.unwell_s < restarts.killed_s < 30.0 / 2 + restarts.unwell_s  # WatchdogSec=30 of our unit


@pytest.mark.slow
def test_a_pause_of_both_processes_kills_nothing(serve: Callable[..., Server]):
    server = serve(SERVING, restarts="Restarts(unwell_s=2.0, killed_s=4.0)")
    server.logged("edgecnn serves")
    family = [server.process.pid, *server.pids()]
    for number, pause_s in ((signal.SIGSTOP, 6.0), (signal.SIGCONT, 3.0)):
        for pid in family:
            os.kill(pid, number)
        time.sleep(pause_s)
    assert server.ask() == family[1]
    assert "does not answer" not in server.log.read_text()
    assert server.end() == 0


def test_ignores_garbage(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch):
    lines = ["{", "\xff\xfe\n", "[" * 50_000 + "\n", "null\n", '{"served": 3}\n', '{"served": ["a"], "x": 1}\n']
    lines += ['{"handoff": {"name": 1}}\n', "9" * 9000 + "\n", "\x00\n", "x" * 60_000]
    monkeypatch.setenv("GARBAGE", json.dumps(lines))
    server = serve(BABBLING)
    assert "x" * 1000 in server.logged("edgecnn serves lenet\\n\\ud800")
    assert server.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux")
def test_restarts_when_descriptors_are_back(serve: Callable[..., Server]):
    server = serve(SERVING, restarts=PATIENT)
    server.logged("edgecnn serves")
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(server.pids()[0], signal.SIGKILL)
    server.logged("the worker could not be started: Too many open files")
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
    server.logged("the worker is ready again")
    assert server.end() == 0


def test_a_full_disk_changes_nothing(serve: Callable[..., Server]):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = serve(SERVING, log=Path("/dev/full"), port=port)
    server.wait_for_worker()
    os.kill(server.pids()[0], signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while len(server.pids()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.0 200")
    assert server.end() == 0


def test_reads_keys_again_on_sighup(serve: Callable[..., Server]):
    server = serve(SERVING)
    server.logged("edgecnn serves")
    server.process.send_signal(signal.SIGHUP)
    server.logged("SIGHUP: the certificate and key files are read again")
    assert server.ask() == server.pids()[0]
    assert server.end() == 0


def test_drains_when_its_terminal_closes(serve: Callable[..., Server]):
    master, slave = pty.openpty()
    server = serve(SERVING, terminal=os.ttyname(slave))
    server.logged("edgecnn serves")
    server.process.send_signal(signal.SIGHUP)
    server.logged("SIGHUP: the certificate and key files are read again")
    time.sleep(0.7)  # until the terminal is checked again
    assert server.process.poll() is None
    os.close(slave)
    os.close(master)
    assert server.process.wait(PATIENCE_S) == 0
    server.logged("SIGHUP: draining")
