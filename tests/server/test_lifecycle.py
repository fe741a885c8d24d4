"""Overload, timeouts, clients that disconnect, clock jumps, shutdown, and ports in use.

The number in a comment is a row in the project's table of faults.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from grpc_asking import asking
from held_engine import Engine, Held, holding
from server_process import Server, start, wait_for
from transports import LEAVERS, TRANSPORTS, Transport, grpc_client

from edgecnn.server.supervisor.listening import listen, reserve

DAY_S = 86400
PATIENCE_S = 30.0
GRPC = ("--grpc-port", 0)


def test_rejects_requests_over_the_queue_limit(held: Held, transport: Transport):  # 66
    server = held.server
    with transport(server) as client:
        before, refusals = server.metrics(), client.refusals()
        with held.engine.held():
            accepted = [held.occupy(), *held.queue(15)]
            for _ in range(20):  # no run can finish meanwhile
                refused = client.infer(server.images[:1])
                assert (refused.kind, refused.retry_s) == ("unavailable", 1)
                assert refused.message == "16 requests are already queued: try again later"
            assert client.health() == (True, True)
            assert server.metrics()["in_flight"] == 16
        assert {answer.result().status for answer in accepted} == {200}
        assert client.refusals() - refusals == 20
        assert server.metrics()["succeeded"] - before["succeeded"] == 16


@pytest.mark.slow
def test_overload_does_not_reduce_throughput(held: Held):  # 66
    held.engine.set("pace", 0.02)  # 150 images/s on every machine
    try:
        calm, _ = _goodput(held.server, clients=4)
        crowded, refusals = _goodput(held.server, clients=40)
    finally:
        held.engine.clear("pace")
    assert crowded > 0.5 * calm
    assert refusals  # test_rejects_requests_over_the_queue_limit checks that rejections do not wait for a run


def _goodput(server: Server, *, clients: int, seconds: float = 1.5) -> tuple[int, int]:
    """Send requests from several clients; return the numbers of successes and rejections."""
    found: list[int] = []
    end = time.monotonic() + seconds

    def ask() -> None:
        while time.monotonic() < end:
            found.append(server.infer(server.images[:1]).status)
            if found[-1] == 503:
                time.sleep(0.05)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert set(found) <= {200, 503}
    return found.count(200), found.count(503)


def test_never_runs_a_request_after_its_timeout(held: Held, transport: Transport):  # 67
    server, runs = held.server, len(held.engine.runs())
    before = late(server)
    with transport(server) as client, held.engine.held():
        running = held.occupy()
        refused = client.infer(server.images[:2], timeout=50_000)  # while the first run is still running
        patient = held.queue(1, 3, timeout=60_000_000)
        assert refused.kind == "late"
        assert refused.message == "the request's timeout passed while it was queued; it was not executed"
    assert [running.result().status, patient[0].result().status] == [200, 200]
    assert held.engine.runs()[runs:] == [1, 3]
    assert late(server) == before + 1


@pytest.mark.parametrize("leaver", LEAVERS)
def test_never_runs_a_request_whose_client_left(held: Held, leaver: str):  # 52
    server, engine = held.server, held.engine
    before, runs = server.metrics()["cancelled"], len(engine.runs())
    with engine.held():
        running = held.occupy()
        with LEAVERS[leaver](server, server.images[:3]):
            wait_for(lambda: server.metrics()["in_flight"] == 2)
        wait_for(lambda: server.metrics()["cancelled"] == before + 1)
        assert server.metrics()["in_flight"] == 1
    assert running.result().status == 200
    assert held.ask(2).result().status == 200
    assert engine.runs()[runs:] == [1, 2]


@pytest.mark.parametrize("leaver", LEAVERS)
def test_a_disconnect_during_a_run_affects_no_other(held: Held, leaver: str):  # 53
    server, engine = held.server, held.engine
    before, runs = server.metrics(), len(engine.runs())
    with engine.held():
        with LEAVERS[leaver](server, server.images[:3]):
            wait_for(lambda: len(engine.runs()) > runs)
        wait_for(lambda: server.metrics()["cancelled"] == before["cancelled"] + 1)
        others = held.queue(3)
        assert not any(other.done() for other in others)
    assert [other.result().status for other in others] == [200] * 3
    assert server.metrics()["succeeded"] == before["succeeded"] + 3


def late(server: Server) -> float:
    return sum(
        sample.value
        for sample in server.samples()
        if sample.name == "edgecnn_requests_failed_total" and sample.labels["reason"] == "late"
    )


CLOCK = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t jump(void) {
    char text[32] = "";
    int fd = open(getenv("JUMP"), O_RDONLY);
    if (fd >= 0) { if (read(fd, text, 31) < 0) text[0] = 0; close(fd); }
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jump();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec fine;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (at) *at = fine.tv_sec;
    return fine.tv_sec;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to build the fake clock")
def test_clock_jumps_change_nothing(tmp_path: Path):  # 68
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "clock.so", "clock.c"], cwd=tmp_path, check=True)
    environment = {"LD_PRELOAD": str(tmp_path / "clock.so"), "JUMP": str(tmp_path / "jump")}
    (tmp_path / "engine").mkdir()
    with holding(tmp_path / "engine", environment=environment) as held:
        server = held.server
        for jump_s in (DAY_S, -DAY_S):
            with held.engine.held(), server.connect() as idle:
                patient = [held.occupy(), *held.queue(2, timeout=60_000_000)]
                (tmp_path / "jump").write_text(str(jump_s))
                assert held.ask(timeout=50_000).result(PATIENCE_S).status == 504
                time.sleep(0.6)  # the deadlines are checked twice
                idle.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert idle.recv(15) == b"HTTP/1.1 200 OK"
            assert [answer.result(PATIENCE_S).status for answer in patient] == [200] * 3
            last_s = server.get("/v2/models/stats").json["model_stats"][0]["last_inference"] / 1000
            assert abs(last_s - (time.time() + jump_s)) < 3600  # the fake clock has jumped
        server.unharmed()
        assert server.stop() == 0


def test_shutdown_answers_all_accepted_requests(tmp_path: Path):  # 69
    with holding(tmp_path, "--max-batch", 3, *GRPC) as held, contextlib.ExitStack() as connections:
        server = held.server
        clients = [connections.enter_context(transport(server)) for transport in TRANSPORTS.values()]
        idle = connections.enter_context(asking(server))  # idle connections do not delay the shutdown
        assert idle.ask("ServerLive")
        with held.engine.held():
            accepted = [held.occupy(), *held.queue(6)]
            over_both = [client.begin(server.images[:2]) for client in clients]
            wait_for(lambda: server.metrics()["in_flight"] == 9)
            server.process.send_signal(signal.SIGTERM)
            for client in clients:
                wait_for(lambda client=client: client.health() == (True, False))
                refused = client.infer(server.images[:1])
                assert (refused.kind, refused.retry_s) == ("unavailable", 1)
                assert refused.message == "the server is shutting down: send the request to another one"
            assert server.get(f"/v2/models/{server.name}/ready").status == 503
            assert not any(answer.done() for answer in (*accepted, *over_both))
        answers = [answer.result(PATIENCE_S) for answer in accepted]
        assert {(answer.status, answer.headers["connection"]) for answer in answers} == {(200, "close")}
        assert all(answer.result(PATIENCE_S).logits is not None for answer in over_both)
        assert server.process.wait(PATIENCE_S) == 0
        assert not [line for line in server.lines if "ERROR" in line or "Traceback" in line]


def test_second_signal_exits_at_once_with_code_1(tmp_path: Path):  # 69
    with holding(tmp_path) as held:
        with held.engine.held():
            lost = held.occupy()
            held.server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: held.server.get("/v2/health/ready").status == 503)
            held.server.process.send_signal(signal.SIGTERM)
            assert held.server.process.wait(PATIENCE_S) == 1
        with pytest.raises(ConnectionError):
            lost.result(PATIENCE_S)


def test_exits_with_code_1_after_the_grace_period(tmp_path: Path):  # 69
    with holding(tmp_path, "--grace-s", 0.5, *GRPC) as held, grpc_client(held.server) as client:
        with held.engine.held():
            lost = held.occupy()
            over_grpc = client.begin(held.server.images[:1])
            wait_for(lambda: held.server.metrics()["in_flight"] == 2)
            assert held.server.stop() == 1
        with pytest.raises(ConnectionError):
            lost.result(PATIENCE_S)
        assert over_grpc.result(PATIENCE_S).kind == "unavailable"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exits_at_once_while_loading(tmp_path: Path, number: signal.Signals):  # 70
    engine = Engine(tmp_path)
    with engine.held():
        process, lines = start("--engine", "openvino", "--grace-s", 3600, environment=engine.environment)
        wait_for(engine.runs)  # the preflight runs in a separate process
        family = _descendants(process.pid)
        assert len(family) == 2
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0  # although the run is unfinished and the grace period is longer
        wait_for(lambda: not any(_lives(pid) for pid in family))
    assert not [line for line in lines if "Traceback" in line or "ERROR" in line], lines


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (thread / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_reports_an_unusable_address_before_loading(server: Server, tmp_path: Path):  # 73
    engine = Engine(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        listen("127.0.0.1", 0) as taken,
        contextlib.closing(reserve("127.0.0.1", 0)) as reserved,  # like a server that is still loading
    ):
        port, other_port = (each.getsockname()[1] for each in (taken, other))
        grpc_ports = (other_port, *(address.rpartition(":")[2] for address in (server.grpc_address, reserved.address)))
        cases = [("--port", port), ("--host", "192.0.2.1"), ("--host", "no such host")]
        cases += [("--grpc-port", each) for each in grpc_ports]
        begun = [(option, start("--engine", "openvino", *option, environment=engine.environment)) for option in cases]
        for (option, value), (process, lines) in begun:
            assert process.wait(PATIENCE_S) == 2
            wait_for(lambda lines=lines: lines)
            (line,) = lines
            assert line.startswith("error: ")
            if option == "--grpc-port":
                assert line.startswith(f"error: port {value} of 127.0.0.1 is already in use")
                assert option in line
    assert not engine.runs()
    with socket.socket() as free, pytest.raises(ConnectionRefusedError):
        free.connect(("127.0.0.1", port))
