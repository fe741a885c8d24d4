"""A server's days: more work than it can do, work that comes too late, clocks that jump, and its end.

The number in a comment is the row of the project's table of faults.
"""

import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from held_engine import Engine, Held, holding
from server_process import Server, start, wait_for

from edgecnn.server.supervisor.listening import listen

DAY_S = 86400
PATIENCE_S = 30.0


def test_a_full_queue_refuses_at_once_and_answers_all_that_it_took(held: Held):  # 66
    before = held.server.metrics()
    with held.engine.held():
        accepted = [held.occupy(), *held.queue(15)]
        refused = [held.ask().result(PATIENCE_S) for _ in range(20)]  # while no run can end
        assert {reply.status for reply in refused} == {503}
        assert all(reply.headers["retry-after"] == "1" for reply in refused)
        assert refused[0].error == "16 requests wait already: try again later"
        assert held.server.get("/v2/health/ready").status == 200
        assert held.server.metrics()["in_flight"] == 16
    assert {answer.result().status for answer in accepted} == {200}
    after = held.server.metrics()
    assert after["failed"] - before["failed"] == 20
    assert after["succeeded"] - before["succeeded"] == 16


def test_ten_times_the_load_does_not_make_less_of_it_succeed(held: Held):  # 66
    held.engine.tell("pace", 0.02)  # 150 images a second, whatever this machine can do
    try:
        calm, _ = _goodput(held.server, clients=4)
        crowded, refusals = _goodput(held.server, clients=40)
    finally:
        held.engine.untell("pace")
    assert crowded > 0.5 * calm
    assert refusals  # the test of a full queue shows that they do not wait for a run


def _goodput(server: Server, *, clients: int, seconds: float = 1.5) -> tuple[int, int]:
    """Send requests from several clients; return how many succeed and how many are refused."""
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


def test_what_waits_longer_than_its_client_wants_is_never_run(held: Held):  # 67
    server, runs = held.server, len(held.engine.runs())
    before = _late(server)
    with held.engine.held():
        running = held.occupy()
        late = held.ask(2, timeout=50_000).result(PATIENCE_S)  # while the run goes on
        patient = held.queue(1, 3, timeout=60_000_000)
        assert late.status == 504
        assert late.error == "the request's timeout passed while it was queued; it was not executed"
    assert [running.result().status, patient[0].result().status] == [200, 200]
    assert held.engine.runs()[runs:] == [1, 3]
    assert _late(server) == before + 1


def _late(server: Server) -> float:
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


@pytest.mark.skipif(shutil.which("cc") is None, reason="a clock of our own needs a C compiler")
def test_a_clock_that_jumps_by_a_day_changes_nothing(tmp_path: Path):  # 68
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
                time.sleep(0.6)  # two looks at deadlines
                idle.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n")
                assert idle.recv(15) == b"HTTP/1.1 200 OK"
            assert [answer.result(PATIENCE_S).status for answer in patient] == [200] * 3
            last_s = server.get("/v2/models/stats").json["model_stats"][0]["last_inference"] / 1000
            assert abs(last_s - (time.time() + jump_s)) < 3600  # it has jumped
        server.unharmed()
        assert server.stop() == 0


def test_at_the_end_all_that_was_accepted_is_answered(tmp_path: Path):  # 69
    with holding(tmp_path, "--max-batch", 3) as held:
        server = held.server
        with held.engine.held():
            accepted = [held.occupy(), *held.queue(6)]
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: server.get("/v2/health/ready").status == 503)
            assert server.get("/v2/health/live").status == 200
            assert server.get(f"/v2/models/{server.name}/ready").status == 503
            refused = server.infer(server.images[:1])
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.error == "the server is about to end: ask another one"
            assert not any(answer.done() for answer in accepted)
        answers = [answer.result(PATIENCE_S) for answer in accepted]
        assert {(answer.status, answer.headers["connection"]) for answer in answers} == {(200, "close")}
        assert server.process.wait(PATIENCE_S) == 0
        assert not [line for line in server.lines if "ERROR" in line or "Traceback" in line]


def test_a_second_signal_ends_it_at_once_and_says_that_something_was_lost(tmp_path: Path):  # 69
    with holding(tmp_path) as held:
        with held.engine.held():
            lost = held.occupy()
            held.server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: held.server.get("/v2/health/ready").status == 503)
            held.server.process.send_signal(signal.SIGTERM)
            assert held.server.process.wait(PATIENCE_S) == 1
        with pytest.raises(ConnectionError):
            lost.result(PATIENCE_S)


def test_when_the_grace_time_is_over_it_ends_and_says_that_something_was_lost(tmp_path: Path):  # 69
    with holding(tmp_path, "--grace-s", 0.5) as held:
        with held.engine.held():
            lost = held.occupy()
            assert held.server.stop() == 1
        with pytest.raises(ConnectionError):
            lost.result(PATIENCE_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_still_loads_ends_at_once_and_leaves_nobody_behind(tmp_path: Path, number: signal.Signals):  # 70
    engine = Engine(tmp_path)
    with engine.held():
        process, lines = start("--backend", "openvino", "--grace-s", 3600, environment=engine.environment)
        wait_for(engine.runs)  # the bundle is being proven, in a process of its own
        family = _descendants(process.pid)
        assert len(family) == 2
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0  # although the run does not end, and the grace period is longer
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


def test_a_port_that_cannot_be_had_is_told_before_anything_is_loaded(tmp_path: Path):  # 73
    engine = Engine(tmp_path)
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        for options in (("--port", port), ("--host", "192.0.2.1"), ("--host", "no such host")):
            process, lines = start("--backend", "openvino", *options, environment=engine.environment)
            assert process.wait(PATIENCE_S) == 2
            wait_for(lambda lines=lines: lines)
            (line,) = lines
            assert line.startswith("error: ")
    assert not engine.runs()
    with socket.socket() as free, pytest.raises(ConnectionRefusedError):
        free.connect(("127.0.0.1", port))
