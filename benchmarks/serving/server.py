"""Servers as processes: started on a free port of the loopback, looked at, paused, ended.

No process is touched that was not started here.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from benchmarks.common.proc import cpu_s, memory_mb, started_at, tree
from benchmarks.common.results import REPOSITORY
from benchmarks.serving.recipes import PEERS, Recipe

_READY_S, _END_S, _POLL_S = 90.0, 15.0, 0.005


class Server:
    """A server that runs; close it, or use it in a `with` block.

    Attributes:
        port: on the loopback.
        ready_s: how long it took from its start until it said that it serves.
        process: what was started; it may have children.
    """

    def __init__(self, recipe: Recipe, log: Path, *, port: int | None = None) -> None:
        """Start it, and wait until it is ready.

        Args:
            recipe: how.
            log: the file for what it prints.
            port: to listen on; None for any that is free.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        self.port, *others = free_ports(3)
        self.port = port or self.port
        names = dict(zip(("{port}", "{other port}", "{third port}"), (self.port, *others), strict=True))

        def filled(text: str) -> str:
            for name, number in names.items():
                text = text.replace(name, str(number))
            return text

        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("wb") as output:
            start = time.perf_counter()
            self.process = subprocess.Popen(
                [filled(each) for each in recipe.command],
                env=os.environ | {name: filled(value) for name, value in recipe.environment.items()},
                cwd=PEERS if recipe.environment else REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._known: dict[int, int] = {}
        try:
            self._wait(lambda: status(self.port, recipe.ready_path) == 200)
            self.ready_s = time.perf_counter() - start
        except BaseException:
            self.close()
            raise
        self.pids()

    def pids(self) -> list[int]:
        """Return its processes: what was started, and their children."""
        found = tree(self.process.pid)
        self._known.update({pid: started_at(pid) for pid in found})
        return found

    def cpu_s(self) -> float:
        """Return the processor time that its processes have taken so far."""
        return sum(cpu_s(pid) for pid in self.pids())

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory of its processes, shared pages counted by each of them, and divided among all."""
        found = [memory_mb(pid) for pid in self.pids()]
        return sum(each[0] for each in found), sum(each[1] for each in found)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """End it, with all that it has started."""
        self.signal(signal.SIGCONT)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        for pid, began in self._known.items():
            if started_at(pid) == began:  # it is left over, and no other has got its number
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _wait(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + _READY_S
        while not is_so():
            code = self.process.poll()
            if code is not None or time.monotonic() > end:
                how = f"ended with exit code {code}" if code is not None else "was not ready in time"
                tail = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.process.args!r} {how}:\n{tail}")
            time.sleep(_POLL_S)


def status(port: int, path: str) -> int | None:
    """Ask for a path; None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
