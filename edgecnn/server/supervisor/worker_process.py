"""The worker process across its restarts: starts it, reads its notices, sends signals, counts crashes."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace

from edgecnn.files import schema
from edgecnn.host.child import child_command, child_environment
from edgecnn.server.models.catalogue import Handoff
from edgecnn.server.supervisor.job import Notice, WorkerJob
from edgecnn.server.supervisor.notifying import OWN_VARIABLES

_NOT_INHERITED = {*OWN_VARIABLES, "PROMETHEUS_MULTIPROC_DIR"}
"""`PROMETHEUS_MULTIPROC_DIR` would make prometheus_client write all metrics to files."""


@dataclass(frozen=True)
class Restarts:
    """How often and when a crashed worker is restarted.

    The delays double from `first_s` to `longest_s`. With the defaults, the eighth crash in a row ends the server, 13 s
    and seven starts after the first. Then the system's service manager restarts the server.

    Attributes:
        first_s: delay after the first crash.
        longest_s: upper bound of a delay.
        stable_s: a worker that served for this long resets the count of crashes.
        limit: number of crashes in a row that ends the server.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    stable_s: float = 30.0
    limit: int = 8

    def delay_s(self, crashes: int) -> float:
        """Return the delay after this many crashes in a row."""
        return float(min(self.longest_s, self.first_s * 2 ** (crashes - 1)))


class WorkerProcess:
    """The server's worker.

    Attributes:
        process: the running process, or None.
        is_accepting: whether it has reported that it accepts requests.
        is_ready: whether it has reported that all models were tried.
        names: names of the models that it reported as served.
        refused: names of the models that it reported as refused.
        crashes: number of crashes in a row.
        restart_at: time of the next start by the monotonic clock; None if no start is planned.
        notice_fd: descriptor to read notices from; None after the last one.
    """

    def __init__(self, module: str, job: WorkerJob, restarts: Restarts) -> None:
        """Describe the worker, which runs a module. Each start sets the job's `ready_fd` and `handoffs`."""
        self.process: subprocess.Popen[bytes] | None = None
        self.is_accepting = False
        self.is_ready = False
        self.names = self.refused = ""
        self.crashes = 0
        self.restart_at: float | None = None
        self.notice_fd: int | None = None
        self._module, self._job, self._restarts = module, job, restarts
        self._environment = {k: v for k, v in child_environment().items() if k not in _NOT_INHERITED}
        self._loading_s = job.options.load_timeout_s * (len(job.sources) + 1)
        self._handoffs: dict[str, Handoff] = {}
        self._started_at = float("-inf")
        self._ready_at: float | None = None
        self._received = b""

    def start(self) -> None:
        """Start a process with the job and the states that earlier processes reported.

        Raises:
            OSError: the system cannot start another process.
        """
        self.is_accepting = self.is_ready = False
        self._received, self.restart_at = b"", None
        self._ready_at = None
        self._started_at = time.monotonic()
        self.notice_fd, ready_fd = os.pipe()
        os.set_blocking(self.notice_fd, False)
        job = replace(self._job, ready_fd=ready_fd, handoffs=tuple(self._handoffs.values()))
        try:
            self.process = subprocess.Popen(
                child_command(self._module, json.dumps(schema.plain(job))),
                env=self._environment,
                stdin=subprocess.PIPE,  # never written to; when it closes, the worker detects the supervisor's end
                pass_fds=(job.socket_fd, ready_fd),
                process_group=0,  # a terminal's Ctrl-C reaches only the supervisor, which passes it on once
            )
        except OSError:
            self.close_notice()
            raise
        finally:
            os.close(ready_fd)

    def read_notice(self) -> bool:
        """Read the worker's notices; return whether it has just become ready. The pipe ends when the worker ends."""
        if self.notice_fd is None:
            return False
        was_ready = self.is_ready
        try:
            while content := os.read(self.notice_fd, 65536):
                self._received += content
            self.close_notice()
        except BlockingIOError:
            pass
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            with contextlib.suppress(schema.SchemaError):  # a malformed notice must not end the supervisor
                self._take(schema.parse(Notice, line))
        return self.is_ready and not was_ready

    def _take(self, notice: Notice) -> None:
        if notice.handoff is not None:
            self._handoffs[notice.handoff.name] = notice.handoff
            return
        self.is_accepting = True
        if notice.served is not None:
            self.is_ready = True
            self._ready_at = time.monotonic()
            self.names, self.refused = ", ".join(notice.served), ", ".join(notice.refused)

    def is_well(self) -> bool:
        """Return whether the worker serves, loads within its time limit, or is about to be restarted."""
        if self.process is None:
            return self.restart_at is not None
        return self.is_accepting or time.monotonic() - self._started_at <= self._loading_s

    def close_notice(self) -> None:
        """Close the descriptor of notices."""
        if self.notice_fd is not None:
            os.close(self.notice_fd)
            self.notice_fd = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal if there is a process."""
        if self.process is not None:  # not `Popen.send_signal`, which may reap the process
            os.kill(self.process.pid, number)

    def reap(self, code: int) -> None:
        """Record the exit of the process, after the wait for it."""
        assert self.process is not None
        self.process.returncode = code
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process = None

    def count_crash(self) -> bool:
        """Count a crash and plan the next start; return False if there were too many."""
        now = time.monotonic()
        was_stable = self._ready_at is not None and now - self._ready_at >= self._restarts.stable_s
        self.crashes = 1 if was_stable else self.crashes + 1
        if self.crashes >= self._restarts.limit:
            return False
        self.restart_at = now + self._restarts.delay_s(self.crashes)
        return True


def ended_children() -> list[tuple[int, int]]:
    """Reap all children that have ended; return the process id and exit code of each, negative for a signal.

    As the first process of a container, the supervisor also inherits the children of a worker that died.
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
