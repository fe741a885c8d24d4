"""Server processes on a free port of the loopback: start, observe, pause and stop them.

Only processes that were started here are signalled.
"""

import contextlib
import http.client
import os
import signal
import socket
import ssl
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
    """A running server; close it, or use it in a `with` block.

    Attributes:
        port: on the loopback.
        ready_s: from its start until it is ready.
        process: that was started; it may have children.
    """

    def __init__(self, recipe: Recipe, log: Path, *, port: int | None = None) -> None:
        """Start the server, and wait until it is ready.

        Args:
            recipe: the command.
            log: file for its output.
            port: to listen on; None for any free one.

        Raises:
            RuntimeError: it exited, or was not ready in time.
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
            self._wait(lambda: status(self.port, recipe.ready_path, recipe.certificate) == 200)
            self.ready_s = time.perf_counter() - start
        except BaseException:
            self.close()
            raise
        self.pids()

    def pids(self) -> list[int]:
        """Return its processes: the started one and its children."""
        found = tree(self.process.pid)
        self._known.update({pid: started_at(pid) for pid in found})
        return found

    def cpu_s(self) -> float:
        """Return the processor time of its processes so far."""
        return sum(cpu_s(pid) for pid in self.pids())

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory of its processes, and the same with shared pages divided (PSS)."""
        found = [memory_mb(pid) for pid in self.pids()]
        return sum(each[0] for each in found), sum(each[1] for each in found)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """Stop the server and all its processes."""
        self.signal(signal.SIGCONT)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        for pid, began in self._known.items():
            if started_at(pid) == began:  # still running, and its process id was not reused
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
                how = f"exited with code {code}" if code is not None else "was not ready in time"
                tail = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.process.args!r} {how}:\n{tail}")
            time.sleep(_POLL_S)


def connection_to(port: int, certificate: Path | None = None, *, timeout_s: float = 5.0) -> http.client.HTTPConnection:
    """Return a connection that is not open yet; with TLS if the server has a certificate."""
    if certificate is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    context = ssl.create_default_context(cafile=certificate)
    return http.client.HTTPSConnection("localhost", port, timeout=timeout_s, context=context)


def status(port: int, path: str, certificate: Path | None = None) -> int | None:
    """Send a GET request; return None if no server answers."""
    connection = connection_to(port, certificate)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Return free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
