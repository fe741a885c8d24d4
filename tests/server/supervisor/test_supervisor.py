"""The supervisor with fake workers: real processes, real signals, real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from fake_workers import (
    CRASHING,
    DEAF,
    DEAF_WHILE_LOADING,
    LEAVING,
    LOADING,
    NOTING_ENVIRONMENT,
    REFUSING,
    SERVING,
    SERVING_WHILE_LOADING,
    STALLING,
)
from supervised import PATIENCE_S, Server, has_exited

from edgecnn.errors import UsageError
from edgecnn.server.supervisor.listening import listen, url
from edgecnn.server.supervisor.worker_process import Restarts


def test_logs_what_it_serves_once_ready(serve: Callable[..., Server]):
    server = serve(SERVING)
    assert server.logged("edgecnn serves").endswith(f"INFO edgecnn serves lenet, resnet on {server.url}")
    assert server.ask() in server.pids()
    assert server.end() == 0


def test_does_not_announce_while_loading(serve: Callable[..., Server]):
    server = serve(LOADING)
    server.wait_for_worker()
    assert "edgecnn serves" not in server.log.read_text()


def test_logs_json(serve: Callable[..., Server]):
    server = serve(SERVING, log_format="json")
    server.logged("edgecnn serves")
    assert server.end() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["level"] for line in lines} == {"info"}
    assert lines[0]["message"].startswith("edgecnn listens on http://127.0.0.1:")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drains_after_a_signal(serve: Callable[..., Server], number: signal.Signals):
    server = serve(SERVING)
    server.logged("edgecnn serves")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        server.wait_for_note("asked")
        server.process.send_signal(number)
        answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.0 200")
    assert server.process.wait(PATIENCE_S) == 0
    assert (server.notes / "signals").read_text() == "SIGTERM\n"
    assert_free(host, int(port))


def test_a_worker_has_its_own_process_group(serve: Callable[..., Server]):
    server = serve(SERVING)
    server.logged("edgecnn serves")
    (worker,) = server.pids()
    assert os.getpgid(worker) != os.getpgid(server.process.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("worker", [LOADING, DEAF_WHILE_LOADING])
def test_a_loading_worker_gets_no_grace_period(serve: Callable[..., Server], worker: str, number: signal.Signals):
    server = serve(worker, grace_s=600.0)
    server.wait_for_worker()
    assert server.end(number) == 0


@pytest.mark.slow
def test_a_partly_loaded_worker_drains(serve: Callable[..., Server]):
    server = serve(SERVING_WHILE_LOADING)
    server.wait_for_note("accepting")
    time.sleep(0.5)  # for the supervisor to read the notice
    assert server.end() == 0
    assert (server.notes / "answered").exists()


def test_an_early_signal_leaves_no_traceback(serve: Callable[..., Server]):
    server = serve(LOADING)
    server.logged("edgecnn listens")
    assert server.end() == 0


def test_a_second_signal_kills(serve: Callable[..., Server]):
    for number, code in ((signal.SIGTERM, 1), (signal.SIGINT, 130)):
        server = serve(DEAF, grace_s=60.0)
        server.logged("edgecnn serves")
        server.process.send_signal(number)
        server.logged(f"{number.name}: draining")
        assert server.end(number) == code


@pytest.mark.slow
def test_kills_a_worker_after_the_grace_time(serve: Callable[..., Server]):
    server = serve(DEAF, grace_s=0.1)
    server.logged("edgecnn serves")
    assert server.end() == 1
    assert "ended by SIGKILL before all requests were answered" in server.log.read_text()


def test_restarts_a_killed_worker_on_its_port(serve: Callable[..., Server]):
    server = serve(SERVING)
    server.logged("edgecnn serves")
    first = server.ask()
    os.kill(first, signal.SIGKILL)
    server.logged("the worker ended by SIGKILL and is restarted in")
    second = server.ask()  # the system accepts the connection; the next worker answers
    assert second != first
    server.logged("the worker is ready again")
    assert has_exited(first)
    assert server.end() == 0


def test_worker_keeps_its_metrics_in_memory(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    server = serve(NOTING_ENVIRONMENT)
    server.logged("edgecnn serves")
    assert "PROMETHEUS_MULTIPROC_DIR" not in (server.notes / "names").read_text().split()


@pytest.mark.parametrize(
    ("worker", "how"),
    [
        (CRASHING, "ended by SIGSEGV"),
        (STALLING, "ended with exit code 70"),
        (LEAVING, "ended with exit code 0"),  # without a signal
    ],
)
def test_repeated_crashes_end_the_server(serve: Callable[..., Server], worker: str, how: str):
    server = serve(worker)
    assert server.process.wait(PATIENCE_S) == 1
    assert len(server.pids()) == 4
    last = server.log.read_text().splitlines()[-1]
    assert last.endswith(f"ERROR the worker {how}: 4 crashes in a row, the server exits")


def test_restart_delays_double_up_to_a_limit():
    restarts = Restarts()
    delays = [restarts.delay_s(crashes) for crashes in range(1, 10)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 10.0


@pytest.mark.parametrize("code", [1, 2, 3])
def test_does_not_restart_after_a_refusal(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, code: int):
    monkeypatch.setenv("CODE", str(code))
    server = serve(REFUSING)
    assert server.process.wait(PATIENCE_S) == code
    assert len(server.pids()) == 1
    assert "the worker says why" in server.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends workers that ignore the lifeline")
@pytest.mark.parametrize("worker", [SERVING, DEAF, LOADING])
def test_worker_dies_with_a_killed_supervisor(serve: Callable[..., Server], worker: str):
    server = serve(worker)
    server.wait_for_worker()
    host, port = server.url.removeprefix("http://").split(":")
    server.process.kill()
    server.process.wait()
    assert all(has_exited(pid) for pid in server.pids())
    assert_free(host, int(port))


def test_a_closed_lifeline_ends_the_worker():
    code = "import os, time\nfrom edgecnn.host.lifeline import die_with_parent\n"
    code += "die_with_parent(os.getppid())\nprint('alive', flush=True)\ntime.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"alive\n"
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 1


def test_a_child_of_a_dead_parent_exits():
    code = "from edgecnn.host.lifeline import die_with_parent\ndie_with_parent(1 << 22)\nprint('lives')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (1, b"")


def assert_free(host: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            listen(host, port).close()
            return
        except UsageError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_rejects_a_taken_port():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 is already in use: .* --port"):
            listen("127.0.0.1", port)


def test_rejects_an_address_of_another_machine():
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not an address of this machine"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["a" * 70 + "é", "::g"])
def test_rejects_an_invalid_address(host: str):
    with pytest.raises(UsageError, match="cannot listen on"):
        listen(host, 0)


def test_rejects_a_privileged_port(monkeypatch: pytest.MonkeyPatch):
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(UsageError, match=r"port 80 of 127\.0\.0\.1 needs more privileges: choose a port from 1024"):
        listen("127.0.0.1", 80)


def test_writes_ipv6_addresses_in_brackets():
    try:
        listener = listen("::1", 0)
    except UsageError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url(listener, "https") == f"https://[::1]:{listener.getsockname()[1]}"


def test_imports_no_engine_and_no_numpy():
    code = "import edgecnn.cli.main, edgecnn.server.supervisor.supervisor, edgecnn.server.models.catalogue, sys\n"
    code += "print(*{module.partition('.')[0] for module in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert set(done.stdout.split()) & {"numpy", "PIL", "onnxruntime", "openvino", "ssl", "rich"} == set()
