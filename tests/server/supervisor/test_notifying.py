"""What a service manager is told: real datagrams of real supervisors, and of a real server."""

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_workers import CRASHING, DEAF, LOADING, NOTING_ENVIRONMENT, SERVING
from repository import COMMITTED
from server_process import start
from supervised import PATIENCE_S, Server

from edgecnn.server.supervisor.notifying import Notifier

WATCHDOG_S = 1.0
MICRO = 1_000_000


@dataclasses.dataclass
class Manager:
    """The side of the service manager: what it has been told, and when."""

    socket: socket.socket
    told: list[tuple[float, str]] = dataclasses.field(default_factory=list)

    def listen(self) -> None:
        """Take down each datagram until the socket is shut."""
        while content := self.socket.recv(65536):
            self.told.append((time.monotonic(), content.decode()))

    def messages(self) -> list[str]:
        """All but the signs of life, in their order."""
        return [message for _, message in self.told if message != "WATCHDOG=1"]

    def signs_of_life(self) -> list[float]:
        return [when for when, message in self.told if message == "WATCHDOG=1"]

    def wait_for(self, condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)

    def wait_until_told(self, text: str) -> None:
        self.wait_for(lambda: any(text in message for message in self.messages()))

    def falls_silent(self) -> None:
        """Wait until no sign of life has come for longer than the watchdog waits."""
        self.wait_for(lambda: time.monotonic() - max([0.0, *self.signs_of_life()]) > 2 * WATCHDOG_S)


@contextlib.contextmanager
def managing(name: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        manager = Manager(sock)
        thread = threading.Thread(target=manager.listen)
        thread.start()
        try:
            yield manager
        finally:
            sock.shutdown(socket.SHUT_RD)
            thread.join(PATIENCE_S)


@pytest.fixture
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """One that watches whoever is started from here; its name is a path, or abstract where that is asked for."""
    is_abstract = getattr(request, "param", "path") == "abstract"
    name = f"@edgecnn-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * MICRO)))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with managing(name) as there:
        yield there


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_a_real_server_says_that_it_loads_is_ready_what_it_serves_and_that_it_ends(manager: Manager, tmp_path: Path):
    damaged = Path(shutil.copytree(COMMITTED, tmp_path / "damaged" / "1"))
    (damaged / "model.onnx").write_bytes(b"no graph")
    process, lines = start(bundles=(COMMITTED, tmp_path / "damaged"))
    try:
        manager.wait_until_told("STATUS=serves")
        manager.wait_for(lambda: len(manager.signs_of_life()) > 3)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, lines
    finally:
        process.kill()
    url = next(line for line in lines if "edgecnn listens on " in line).split(" on ")[1].split()[0]
    assert manager.messages() == [
        f"STATUS=loads what it will serve on {url}",
        "READY=1",
        f"STATUS=serves lenet-digits-int8 on {url}; could not be served when it started: damaged",
        "STOPPING=1",
        "STATUS=answers what it has accepted, and ends",
    ]


def test_signs_of_life_repeat(manager: Manager, serve: Callable[..., Server]):
    server = serve(SERVING)
    manager.wait_for(lambda: len(manager.signs_of_life()) > 5)
    times = manager.signs_of_life()
    assert times[-1] - times[0] >= 0.9 * (len(times) - 1) * WATCHDOG_S / 2  # no oftener than twice a watchdog time
    assert server.end() == 0


def test_two_signs_of_life_in_a_watchdog_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("edgecnn.server.supervisor.notifying.time", clock)
    with managing(str(tmp_path / "notify")) as manager:
        now = 1000.0
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
        for count in range(1, 6):
            assert notifier.due_at() == now
            notifier.do_what_is_due(is_well=True)
            notifier.do_what_is_due(is_well=True)
            manager.wait_for(lambda count=count: len(manager.signs_of_life()) >= count)
            now += 1.5
        notifier.close()
    assert len(manager.signs_of_life()) == 5


@pytest.mark.slow
def test_a_supervisor_that_stands_still_gives_no_sign_of_life(manager: Manager, serve: Callable[..., Server]):
    server = serve(SERVING)
    manager.wait_until_told("READY=1")
    server.process.send_signal(signal.SIGSTOP)
    manager.falls_silent()
    server.process.send_signal(signal.SIGCONT)
    count = len(manager.signs_of_life())
    manager.wait_for(lambda: len(manager.signs_of_life()) > count)
    assert server.end() == 0


@pytest.mark.slow
def test_a_worker_that_never_comes_to_serve_costs_the_sign_of_life(manager: Manager, serve: Callable[..., Server]):
    server = serve(LOADING, load_timeout_s=1.0)  # for one model, and once more for all else
    manager.wait_for(lambda: len(manager.signs_of_life()) > 2)
    manager.falls_silent()
    assert "READY=1" not in manager.messages()
    assert server.process.poll() is None


def test_a_worker_that_is_started_again_is_told_and_no_reason_for_silence(
    manager: Manager, serve: Callable[..., Server]
):
    server = serve(SERVING)
    manager.wait_until_told("STATUS=serves lenet, resnet on ")
    os.kill(server.pids()[0], signal.SIGKILL)
    manager.wait_until_told("STATUS=the worker ended by SIGKILL and is started again, crash 1 in a row")
    manager.wait_for(lambda: manager.messages()[-1].startswith("STATUS=serves lenet, resnet on "))
    assert manager.messages().count("READY=1") == 1
    assert server.end() == 0


def test_workers_that_crash_again_and_again_are_told_and_the_end_too_but_never_ready(
    manager: Manager, serve: Callable[..., Server]
):
    assert serve(CRASHING).process.wait(PATIENCE_S) == 1
    manager.wait_until_told("STATUS=answers")
    said = manager.messages()
    assert [message[-8:] for message in said[1:4]] == [f"{number} in a row"[-8:] for number in (1, 2, 3)]
    assert said[4:] == ["STOPPING=1", "STATUS=answers what it has accepted, and ends"]


@pytest.mark.slow
def test_signs_of_life_go_on_while_a_server_ends(manager: Manager, serve: Callable[..., Server]):
    server = serve(DEAF, grace_s=2.0)
    manager.wait_until_told("READY=1")
    server.process.send_signal(signal.SIGTERM)
    manager.wait_until_told("STOPPING=1")
    count = len(manager.signs_of_life())
    manager.wait_for(lambda: len(manager.signs_of_life()) > count + 2)
    assert server.process.wait(PATIENCE_S) == 1


def test_no_child_can_speak_for_the_server(manager: Manager, serve: Callable[..., Server]):
    server = serve(NOTING_ENVIRONMENT)
    manager.wait_until_told("READY=1")
    names = (server.notes / "names").read_text().split()
    assert "NOTES" in names
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(names)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "relative", "@" + "n" * 200, "vsock:2:1", "/" + "n" * 200])
def test_a_manager_that_cannot_be_reached_harms_nothing(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    server = serve(SERVING)
    assert server.ask() in server.pids()
    assert server.end() == 0


def test_a_manager_that_does_not_listen_is_told_the_latest_when_it_does(tmp_path: Path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        sock.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        for number in range(10_000):  # more than any socket holds
            notifier.status(str(number))
        notifier.ready()
        assert notifier.due_at() < time.monotonic() + 1
        with contextlib.suppress(BlockingIOError):
            while True:
                last = sock.recv(65536)
        assert last != b"STATUS=9999"
        while notifier.due_at() > time.monotonic():
            time.sleep(0.02)
        notifier.do_what_is_due(is_well=True)
        assert sock.recv(65536) == b"STATUS=9999\nREADY=1"
        assert notifier.due_at() == float("inf")
        notifier.close()


def test_a_status_is_one_line_of_bounded_length(tmp_path: Path):
    with managing(str(tmp_path / "notify")) as manager:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.status("first\nREADY=1\x1b[1m" + "x" * 1000)
        notifier.close()
        manager.wait_until_told("STATUS=first?READY=1?[1mxxx")
        assert len(manager.messages()[0]) == len("STATUS=") + 500


@pytest.mark.parametrize(
    ("watchdog", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({}, None),
    ],
)
def test_only_a_watchdog_that_means_this_process_is_heeded(
    tmp_path: Path, watchdog: dict[str, str], seconds: float | None
):
    with managing(str(tmp_path / "notify")) as manager:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")} | watchdog)
        assert notifier.watchdog_s == seconds
        notifier.do_what_is_due(is_well=True)
        notifier.ready()
        notifier.close()
        manager.wait_until_told("READY=1")
        assert len(manager.signs_of_life()) == (seconds is not None)


def test_without_a_manager_nothing_is_ever_due():
    notifier = Notifier({"WATCHDOG_USEC": "1000"})
    notifier.ready()
    notifier.do_what_is_due(is_well=True)
    assert (notifier.watchdog_s, notifier.due_at()) == (None, float("inf"))
    notifier.close()
