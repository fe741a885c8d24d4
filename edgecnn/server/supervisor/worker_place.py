"""The place of one worker: its process, what it has said, and what became of those before it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgecnn.files import schema
from edgecnn.server.models.catalogue import Held
from edgecnn.server.supervisor.job import Notice


@dataclass(frozen=True)
class Restarts:
    """How often a worker that crashes is started again, and when.

    The delays double from `first_s` to `longest_s`. By default the eighth crash in a row ends the server, 13 s and
    seven starts after the first: what starts servers again for ever is the system's service manager.

    Attributes:
        first_s: delay after the first crash.
        longest_s: no delay is longer.
        stable_s: a worker that served for so long begins a new row.
        limit: crashes in a row after which there is no further start.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    stable_s: float = 30.0
    limit: int = 8

    def delay_s(self, crashes: int) -> float:
        """Return how long to wait after so many crashes in a row."""
        return float(min(self.longest_s, self.first_s * 2 ** (crashes - 1)))


Launch = Callable[[int, int], "subprocess.Popen[bytes]"]
"""Starts worker `number`, which says what there is to say through the descriptor `ready_fd`."""


class WorkerPlace:
    """One of the server's workers.

    Attributes:
        number: from 0.
        process: that runs, or None.
        is_accepting: whether it has said that it may owe answers.
        is_ready: whether it has said that all it can serve is served.
        names: of the models that it said it serves.
        refused: names of those that it said it cannot.
        crashes: in a row.
        restart_at: when the next one is started, by the monotonic clock; None where none is to be.
        notice_fd: descriptor to be read until it ends; None where nothing more will come.
    """

    def __init__(
        self,
        number: int,
        launch: Launch,
        *,
        remember: Callable[[Held], object],
        restarts: Restarts,
        loading_s: float,
    ) -> None:
        """Describe a place that is empty still.

        Args:
            number: from 0.
            launch: starts a worker.
            remember: takes what the next worker must know.
            restarts: how often there is a next one.
            loading_s: how long one may take until it serves.
        """
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.is_accepting = False
        self.is_ready = False
        self.names = self.refused = ""
        self.crashes = 0
        self.restart_at: float | None = None
        self.notice_fd: int | None = None
        self._launch = launch
        self._remember = remember
        self._restarts = restarts
        self._loading_s = loading_s
        self._started_at = float("-inf")
        self._ready_at: float | None = None
        self._said = b""

    def start(self) -> None:
        """Start a process.

        Raises:
            OSError: the system has no room for another one.
        """
        self.is_accepting = self.is_ready = False
        self._said, self.restart_at = b"", None
        self._ready_at = None
        self._started_at = time.monotonic()
        self.notice_fd, ready_fd = os.pipe()
        os.set_blocking(self.notice_fd, False)
        try:
            self.process = self._launch(self.number, ready_fd)
        except OSError:
            self.close_notice()
            raise
        finally:
            os.close(ready_fd)

    def read_notice(self) -> bool:
        """Read what the worker has said; return whether it has just become ready. The pipe ends when it does."""
        if self.notice_fd is None:
            return False
        was_ready = self.is_ready
        try:
            while content := os.read(self.notice_fd, 65536):
                self._said += content
            self.close_notice()
        except BlockingIOError:
            pass
        *lines, self._said = self._said.split(b"\n")
        for line in lines:
            with contextlib.suppress(schema.SchemaError):  # whatever a worker says, this process goes on
                self._hear(schema.parse(Notice, line))
        return self.is_ready and not was_ready

    def _hear(self, notice: Notice) -> None:
        if notice.held is not None:
            self._remember(notice.held)
            return
        self.is_accepting = True
        if notice.served is not None:
            self.is_ready = True
            self._ready_at = time.monotonic()
            self.names, self.refused = ", ".join(notice.served), ", ".join(notice.refused)

    def is_well(self) -> bool:
        """Whether a process serves, or has not taken longer for that than loading may, or a start is planned."""
        if self.process is None:
            return self.restart_at is not None
        return self.is_accepting or time.monotonic() - self._started_at <= self._loading_s

    def close_notice(self) -> None:
        """Listen no more."""
        if self.notice_fd is not None:
            os.close(self.notice_fd)
            self.notice_fd = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where there is a process."""
        if self.process is not None:  # `Popen.send_signal` would wait for it too, and keep that to itself
            os.kill(self.process.pid, number)

    def bury(self, code: int) -> None:
        """Take note that the process has ended, and was waited for."""
        assert self.process is not None
        self.process.returncode = code
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process = None

    def count_crash(self) -> bool:
        """Count a crash, and set the time of the next start; return False where there is to be none."""
        now = time.monotonic()
        was_stable = self._ready_at is not None and now - self._ready_at >= self._restarts.stable_s
        self.crashes = 1 if was_stable else self.crashes + 1
        if self.crashes >= self._restarts.limit:
            return False
        self.restart_at = now + self._restarts.delay_s(self.crashes)
        return True


def ended_children() -> list[tuple[int, int]]:
    """Return process id and exit code of all children that have ended; the code of a signal is negative.

    All of them, because as the first process of a container this one inherits the children of workers that died.
    """
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))
