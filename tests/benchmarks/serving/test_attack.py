"""The attack suite: its verdicts, and two cheap floods against a real server."""

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from benchmarks.serving.attack import http2
from benchmarks.serving.attack.confinement import confined
from benchmarks.serving.attack.crowd import Client, Crowd
from benchmarks.serving.attack.floods import FLOODS
from benchmarks.serving.attack.page import Row, page, summary
from benchmarks.serving.attack.run import run
from benchmarks.serving.attack.target import Target
from benchmarks.serving.attack.victims import FRESH, KEPT, LIVE, NOT_CONNECTED, READY, REFUSED, RIGHT, Probe, Victims

MIB = 1 << 20


def probes(kind: str, outcome: str, *, total_ms: float = 5.0, count: int = 1) -> list[Probe]:
    return [Probe(kind, 0.0, 1.0, total_ms, outcome, 0.1)] * count


GOOD = Row(
    name="a flood",
    load="a load",
    attack={"200": 10, "figure": 1.0},
    bounds={"figure": 2.0},
    limit_bytes=1024 * MIB,
    idle_bytes=100 * MIB,
    peak_bytes=600 * MIB,
    group_peak_bytes=700 * MIB,
    after_bytes=110 * MIB,
    after_s=1.0,
    oom_kills=0,
    probes=probes(LIVE, RIGHT, count=99) + probes(READY, REFUSED) + probes(FRESH, RIGHT) + probes(KEPT, REFUSED),
    deaths=0,
    stops_worker=False,
    logs_restart=False,
    end_s=0.5,
    exit_code=0,
)


def problems(**changes: Any) -> list[str]:
    return summary(dataclasses.replace(GOOD, **changes))["problems"]


def test_good_row_has_no_problems():
    found = summary(GOOD)
    assert (found["problems"], found["lost"], found["refused"]) == ([], 0, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"peak_bytes": 1025 * MIB}, "memory above 1024 MiB"),
        ({"after_bytes": 121 * MIB}, "memory after the attack 1.21 × idle"),
        ({"oom_kills": 1}, "1 processes killed at the memory limit"),
        ({"deaths": 1}, "1 deaths"),
        ({"end_s": 6.0}, "6.00 s from SIGTERM to the end"),
        ({"exit_code": None}, "exit code None"),
        ({"attack": {"figure": 2.5}}, "figure: 2.50"),
        ({"probes": []}, "no health probe"),
        ({"probes": probes(LIVE, RIGHT, total_ms=60.0)}, "health p50 60.0 ms"),
        ({"probes": probes(LIVE, RIGHT, count=50) + probes(READY, RIGHT, total_ms=300.0, count=2)}, "health p99"),
        ({"probes": GOOD.probes + probes(FRESH, "wrong answer") + probes(KEPT, "cut off")}, "2 answers lost"),
        ({"stops_worker": True, "deaths": 1}, "the log does not report the restart"),
    ],
)
def test_names_each_limit_that_does_not_hold(changes, expected):
    assert [text.startswith(expected) for text in problems(**changes)] == [True]


def test_connection_that_was_not_accepted_loses_no_request():
    assert problems(probes=GOOD.probes + probes(FRESH, NOT_CONNECTED)) == []


def test_stopped_worker_must_be_restarted_once():
    stopped = {"stops_worker": True, "logs_restart": True, "probes": probes(FRESH, "no answer")}
    assert problems(**stopped, deaths=1) == []
    assert problems(**stopped, deaths=0) == ["0 deaths"]


def test_page_lists_limits_that_do_not_hold():
    rows = [summary(GOOD), summary(dataclasses.replace(GOOD, name="bad flood", deaths=2))]
    site = {"processor": "a processor", "cores": 2, "engines": {"onnxruntime": "1.32"}}
    text = page({"rows": rows, "seconds": 8.0, "has_group": True, "site": site, "measured_at": "2026"})
    assert "1 of 2 floods hold all limits" in text
    assert "| bad flood | 2 deaths |" in text


def test_names_of_floods_are_unique():
    assert len({flood.name for flood in FLOODS}) == len(FLOODS)


def test_control_group_enforces_its_limit():
    command = (sys.executable, "-c", "bytearray(range(256)) * (1 << 20)")
    with confined(64 * MIB) as group:
        if group is None:
            pytest.skip("this process may not create a control group")
        assert subprocess.run(group.command(command), check=False).returncode == -signal.SIGKILL
        assert group.oom_kills() == 1
        assert (group.peak_bytes() or 0) <= 64 * MIB


def test_frame_has_length_type_flags_and_stream():
    assert http2.frame(http2.PING, http2.ACK, 3, b"12345678") == b"\0\0\x08\x06\x01\0\0\0\x0312345678"


@pytest.fixture
def closing_server():
    """A server that answers one request and closes each connection with the second one."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                if sock.recv(65536):
                    sock.sendall(answer)
                    sock.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_repeats_request_on_closed_kept_connection_once(closing_server):
    async def ask() -> list[str]:
        victims = Victims(Target(closing_server, 0, "m", 0, request=b"GET / HTTP/1.1\r\n\r\n", right_body=b"ok"))
        for _ in range(2):
            await victims.probe(KEPT, 0.0)
        victims.close()
        return [probe.outcome for probe in victims.probes]

    assert asyncio.run(ask()) == [RIGHT, RIGHT]


def test_crowd_replaces_closed_connections(closing_server):
    client = Client(b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", pause_s=0.02)
    counts = Crowd(closing_server, client, 1).run(0.5)
    assert counts["200"] >= 2
    assert counts["closed by the server"] >= counts["connections"] - 1 >= 1


@pytest.mark.slow
def test_cheap_floods_hold_all_limits():
    chosen = [flood for flood in FLOODS if flood.name in {"slow-bodies", "log-unread"}]
    rows = run(chosen, seconds=0.5)["rows"]
    assert [(row["lost"], row["deaths"], row["oom_kills"], row["exit_code"]) for row in rows] == [(0, 0, 0, 0)] * 2
    assert all(row["peak_bytes"] > row["idle_bytes"] / 2 > 10 * MIB and row["health_p50_ms"] for row in rows)
