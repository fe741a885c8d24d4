"""Messages to the service manager: real datagrams of real supervisors, and of a real server."""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_workers import CRASHING, DEAF, LOADING, NOTING_ENVIRONMENT, SERVING, SILENT_AT_FIRST
from repository import COMMITTED
from server_process import start
from supervised import PATIENCE_S, Server

from edgecnn.server.supervisor.notifying import Notifier

WATCHDOG_S = 1.0
MICRO = 1_000_000


@dataclasses.dataclass
class Manager:
    """A service manager; records each message and its time."""

    socket: socket.socket
    received: list[tuple[float, str]] = dataclasses.field(default_factory=list)

    def listen(self) -> None:
        """Record each datagram until the socket is shut down."""
        while content := self.socket.recv(65536):
            self.received.append((time.monotonic(), content.decode()))

    def messages(self) -> list[str]:
        """Return all messages except the watchdog's, in order."""
        return [message for _, message in self.received if message != "WATCHDOG=1"]

    def watchdog_times(self) -> list[float]:
        return [when for when, message in self.received if message == "WATCHDOG=1"]

    def wait_for(self, condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, self.received
            time.sleep(0.02)

    def wait_until_received(self, text: str) -> None:
        self.wait_for(lambda: any(text in message for message in self.messages()))

    def wait_for_silence(self) -> None:
        """Wait until no watchdog message arrived for longer than the watchdog timeout."""
        self.wait_for(lambda: time.monotonic() - max([0.0, *self.watchdog_times()]) > 2 * WATCHDOG_S)


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
    """A service manager for servers that the test starts; its socket is a path, or abstract by parameter."""
    is_abstract = getattr(request, "param", "path") == "abstract"
    name = f"@edgecnn-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * MICRO)))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with managing(name) as found:
        yield found


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_a_server_reports_its_states(manager: Manager, tmp_path: Path):
    damaged = Path(shutil.copytree(COMMITTED, tmp_path / "damaged" / "1"))
    (damaged / "model.onnx").write_bytes(b"no graph")
    process, lines = start(bundles=(COMMITTED, tmp_path / "damaged"))
    try:
        manager.wait_until_received("STATUS=serves")
        manager.wait_for(lambda: len(manager.watchdog_times()) > 3)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, lines
    finally:
        process.kill()
    url = next(line for line in lines if "edgecnn listens on " in line).split(" on ")[1].split()[0]
    assert manager.messages() == [
        f"STATUS=loading models for {url}",
        "READY=1",
        f"STATUS=serves lenet-digits-int8 on {url}; failed to load at the start: damaged",
        "STOPPING=1",
        "STATUS=draining",
    ]


def test_repeats_watchdog_messages(manager: Manager, serve: Callable[..., Server]):
    server = serve(SERVING)
    manager.wait_for(lambda: len(manager.watchdog_times()) > 5)
    times = manager.watchdog_times()
    assert times[-1] - times[0] >= 0.9 * (len(times) - 1) * WATCHDOG_S / 2  # at most two per watchdog timeout
    assert server.end() == 0


def test_sends_two_messages_per_watchdog_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("edgecnn.server.supervisor.notifying.time", clock)
    with managing(str(tmp_path / "notify")) as manager:
        now = 1000.0
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
        for count in range(1, 6):
            assert notifier.due_at() == now
            notifier.do_what_is_due(is_well=True)
            notifier.do_what_is_due(is_well=True)
            manager.wait_for(lambda count=count: len(manager.watchdog_times()) >= count)
            now += 1.5
        notifier.close()
    assert len(manager.watchdog_times()) == 5


def test_repeats_soon_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("edgecnn.server.supervisor.notifying.time", clock)
    with managing(str(tmp_path / "notify")) as manager:
        now = 1000.0
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"})
        notifier.do_what_is_due(is_well=False)
        assert notifier.due_at() <= now + 1
        now += 1
        notifier.do_what_is_due(is_well=True)
        assert notifier.due_at() == now + 15
        notifier.close()
        manager.wait_for(lambda: len(manager.watchdog_times()) == 1)


@pytest.mark.slow
def test_a_stopped_supervisor_is_silent(manager: Manager, serve: Callable[..., Server]):
    server = serve(SERVING)
    manager.wait_until_received("READY=1")
    server.process.send_signal(signal.SIGSTOP)
    manager.wait_for_silence()
    server.process.send_signal(signal.SIGCONT)
    count = len(manager.watchdog_times())
    manager.wait_for(lambda: len(manager.watchdog_times()) > count)
    assert server.end() == 0


@pytest.mark.slow
def test_is_silent_if_a_worker_never_serves(manager: Manager, serve: Callable[..., Server]):
    server = serve(LOADING, load_timeout_s=1.0)  # for one model, and again for everything else
    manager.wait_for(lambda: len(manager.watchdog_times()) > 2)
    manager.wait_for_silence()
    assert "READY=1" not in manager.messages()
    assert server.process.poll() is None


@pytest.mark.slow
def test_is_silent_while_a_worker_does_not_answer(manager: Manager, serve: Callable[..., Server]):
    server = serve(SILENT_AT_FIRST, restarts="Restarts(unwell_s=2.0, killed_s=6.0)")
    manager.wait_for(lambda: len(manager.watchdog_times()) > 2)
    manager.wait_for_silence()
    server.logged("the worker is ready again")
    count = len(manager.watchdog_times())
    manager.wait_for(lambda: len(manager.watchdog_times()) > count)
    assert server.end() == 0


def test_reports_a_reload(manager: Manager, serve: Callable[..., Server]):
    server = serve(SERVING)
    manager.wait_until_received("STATUS=serves lenet")
    before = len(manager.messages())
    server.process.send_signal(signal.SIGHUP)
    manager.wait_for(lambda: manager.messages()[-1] == "READY=1")
    reloading, ready = manager.messages()[before:]
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
    assert ready == "READY=1"
    assert server.end() == 0


def test_reports_a_restarted_worker(manager: Manager, serve: Callable[..., Server]):
    server = serve(SERVING)
    manager.wait_until_received("STATUS=serves lenet, resnet on ")
    os.kill(server.pids()[0], signal.SIGKILL)
    manager.wait_until_received("STATUS=the worker ended by SIGKILL and is restarted, crash 1 in a row")
    manager.wait_for(lambda: manager.messages()[-1].startswith("STATUS=serves lenet, resnet on "))
    assert manager.messages().count("READY=1") == 1
    assert server.end() == 0


def test_reports_repeated_crashes(manager: Manager, serve: Callable[..., Server]):
    assert serve(CRASHING).process.wait(PATIENCE_S) == 1
    manager.wait_until_received("STATUS=draining")
    said = manager.messages()
    assert [message[-8:] for message in said[1:4]] == [f"{number} in a row"[-8:] for number in (1, 2, 3)]
    assert said[4:] == ["STOPPING=1", "STATUS=draining"]


@pytest.mark.slow
def test_watchdog_continues_during_drain(manager: Manager, serve: Callable[..., Server]):
    server = serve(DEAF, grace_s=2.0)
    manager.wait_until_received("READY=1")
    server.process.send_signal(signal.SIGTERM)
    manager.wait_until_received("STOPPING=1")
    count = len(manager.watchdog_times())
    manager.wait_for(lambda: len(manager.watchdog_times()) > count + 2)
    assert server.process.wait(PATIENCE_S) == 1


def test_children_cannot_notify(manager: Manager, serve: Callable[..., Server]):
    server = serve(NOTING_ENVIRONMENT)
    manager.wait_until_received("READY=1")
    names = (server.notes / "names").read_text().split()
    assert "NOTES" in names
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(names)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "relative", "@" + "n" * 200, "vsock:2:1", "/" + "n" * 200])
def test_ignores_an_unreachable_manager(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    server = serve(SERVING)
    assert server.ask() in server.pids()
    assert server.end() == 0


def test_resends_the_latest_state(tmp_path: Path):
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


def test_a_status_is_one_short_line(tmp_path: Path):
    with managing(str(tmp_path / "notify")) as manager:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.status("first\nREADY=1\x1b[1m" + "x" * 1000)
        notifier.close()
        manager.wait_until_received("STATUS=first?READY=1?[1mxxx")
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
def test_ignores_another_process_s_watchdog(tmp_path: Path, watchdog: dict[str, str], seconds: float | None):
    with managing(str(tmp_path / "notify")) as manager:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")} | watchdog)
        assert notifier.watchdog_s == seconds
        notifier.do_what_is_due(is_well=True)
        notifier.ready()
        notifier.close()
        manager.wait_until_received("READY=1")
        assert len(manager.watchdog_times()) == (seconds is not None)


def test_nothing_is_due_without_a_manager():
    notifier = Notifier({"WATCHDOG_USEC": "1000"})
    notifier.ready()
    notifier.do_what_is_due(is_well=True)
    assert (notifier.watchdog_s, notifier.due_at()) == (None, float("inf"))
    notifier.close()
