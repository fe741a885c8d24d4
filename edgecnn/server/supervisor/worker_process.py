"""The worker process across its restarts: starts it, reads its notices, sends signals, counts crashes."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, replace

from edgecnn.files import schema
from edgecnn.host.child import child_command, child_environment
from edgecnn.server.decoding_record import DecodingRecord, create_record
from edgecnn.server.models.catalogue import Handoff
from edgecnn.server.supervisor.job import HEARTBEAT, HEARTBEAT_S, STACK_SIGNAL, Notice, WorkerJob
from edgecnn.server.supervisor.notifying import OWN_VARIABLES
from edgecnn.server.supervisor.pipe import Pipe
from edgecnn.server.supervisor.suspects import Suspects

_NOT_INHERITED = {*OWN_VARIABLES, "PROMETHEUS_MULTIPROC_DIR"}
"""`PROMETHEUS_MULTIPROC_DIR` would make prometheus_client write all metrics to files."""
_LONGEST_NOTICE, _LONGEST_STACK = 1 << 20, 1 << 14
_STACK_S = 0.5
"""Time for a silent worker to write its stack before it is killed."""


@dataclass(frozen=True)
class Restarts:
    """How often and when a crashed worker is restarted.

    The delays double from `first_s` to `longest_s`. With the defaults, the eighth crash in a row of workers that did
    not become ready ends the server, 13 s and seven starts after the first. Then the system's service manager restarts
    the server. A worker that was ready is always restarted: requests may have caused its crash, and the next worker
    refuses an image that caused two.

    The event loop of an accepting worker sends a heartbeat every second. A worker without heartbeats is not well, and
    then it is killed. `WatchdogSec=` of the service must be longer than `killed_s`.

    Attributes:
        first_s: delay after the first crash.
        longest_s: upper bound of a delay.
        stable_s: a worker that served for this long resets the count of crashes.
        limit: number of crashes in a row, each before the worker was ready, that ends the server.
        unwell_s: time without a heartbeat after which the worker is not well.
        killed_s: time without a heartbeat after which the worker is killed.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    stable_s: float = 30.0
    limit: int = 8
    unwell_s: float = 10.0
    killed_s: float = 15.0

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
        has_reloaded: whether it has reported that it read certificate and keys again; the caller resets it.
    """

    def __init__(self, module: str, job: WorkerJob, restarts: Restarts, selector: selectors.BaseSelector) -> None:
        """Describe the worker, which runs a module.

        Each start sets the job's descriptors and `handoffs`. The selector reports what the worker writes.
        """
        self.process: subprocess.Popen[bytes] | None = None
        self.is_accepting = False
        self.is_ready = False
        self.names = self.refused = ""
        self.crashes = 0
        self.restart_at: float | None = None
        self.has_reloaded = False
        self._notices, self._heartbeats = Pipe(selector), Pipe(selector)
        self._module, self._job, self._restarts = module, job, restarts
        self._environment = {k: v for k, v in child_environment().items() if k not in _NOT_INHERITED}
        self._loading_s = job.options.load_timeout_s * (len(job.sources) + 1)
        self._handoffs: dict[str, Handoff] = {}
        self._record_fd = create_record()
        self._record = DecodingRecord(self._record_fd)
        self._suspects = Suspects()
        self._failed_starts = 0
        self._started_at = float("-inf")
        self._ready_at: float | None = None
        self._received = b""
        self._silent_s = 0.0
        self._stack = b""
        self._kill_at: float | None = None

    def start(self) -> None:
        """Start a process with the job and the states that earlier processes reported.

        Raises:
            OSError: the system cannot start another process.
        """
        self.is_accepting = self.is_ready = False
        self._received, self.restart_at = b"", None
        self._ready_at = None
        self._silent_s, self._stack, self._kill_at = 0.0, b"", None
        self._started_at = time.monotonic()
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as written:
            undo.callback(self.close_pipes)
            ready_fd, heartbeat_fd = (_opened(pipe, written) for pipe in (self._notices, self._heartbeats))
            job = replace(
                self._job,
                ready_fd=ready_fd,
                heartbeat_fd=heartbeat_fd,
                record_fd=self._record_fd,
                suspected=tuple(self._suspects.suspected),
                refused=tuple(self._suspects.refused),
                handoffs=tuple(self._handoffs.values()),
            )
            fds = (job.socket_fd, ready_fd, heartbeat_fd, job.saved_tls_fd, job.saved_key_fd, job.record_fd)
            self.process = subprocess.Popen(
                child_command(self._module, json.dumps(schema.plain(job))),
                env=self._environment,
                stdin=subprocess.PIPE,  # never written to; when it closes, the worker detects the supervisor's end
                pass_fds=[fd for fd in fds if fd is not None],
                process_group=0,  # a terminal's Ctrl-C reaches only the supervisor, which passes it on once
            )
            undo.pop_all()

    def read_notices(self) -> bool:
        """Read the worker's notices and heartbeats; return whether it has just become ready."""
        was_ready = self.is_ready
        heartbeats = self._heartbeats.read()
        if HEARTBEAT in heartbeats:
            self._silent_s, self._stack, self._kill_at = 0.0, b"", None
        self._stack = (self._stack + heartbeats.replace(HEARTBEAT, b""))[:_LONGEST_STACK]
        *lines, self._received = (self._received + self._notices.read()).split(b"\n")
        for line in lines:
            with contextlib.suppress(schema.SchemaError):  # a malformed notice must not end the supervisor
                self._take(schema.parse(Notice, line))
        self._received = self._received[:_LONGEST_NOTICE]  # without a line break: not a notice
        return self.is_ready and not was_ready

    def _take(self, notice: Notice) -> None:
        if notice.handoff is not None:
            self._handoffs[notice.handoff.name] = notice.handoff
            return
        if notice.reloaded:
            self.has_reloaded = True
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
        if self.is_accepting:
            return self._silent_s < self._restarts.unwell_s
        return time.monotonic() - self._started_at <= self._loading_s

    def count_silence(self, elapsed_s: float) -> str | None:
        """Count time without a heartbeat; kill a worker that has been silent for too long.

        Args:
            elapsed_s: time since the last call. Only a part of a longer pause counts: this process was stopped, or the
                machine was suspended, and the heartbeats may have stopped for the same reason.

        Returns:
            The stack of the killed worker's main thread, one line per frame, when it is killed.
        """
        if self.process is None or not self.is_accepting:
            return None
        self._silent_s += min(elapsed_s, 2 * HEARTBEAT_S)
        now = time.monotonic()
        if self._silent_s < self._restarts.killed_s:
            return None
        if self._kill_at is None:
            self._kill_at = now + _STACK_S
            if STACK_SIGNAL is not None:
                self.send(STACK_SIGNAL)
        elif self._kill_at <= now:
            self._kill_at = float("inf")
            self.send(signal.SIGKILL)
            return self._stack.decode(errors="replace").strip()
        return None

    def close_pipes(self) -> None:
        """Close the pipes from the worker."""
        self._notices.close()
        self._heartbeats.close()

    def send(self, number: signal.Signals) -> None:
        """Send a signal if there is a process."""
        if self.process is not None:  # not `Popen.send_signal`, which may reap the process
            with contextlib.suppress(OSError):
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
        self._failed_starts = self._failed_starts + 1 if self._ready_at is None else 0
        self._suspects.crashed(self._record.take())
        if self._failed_starts >= self._restarts.limit:
            return False
        self.restart_at = now + self._restarts.delay_s(self.crashes)
        return True


def _opened(pipe: Pipe, closing: contextlib.ExitStack) -> int:
    writing = pipe.open()
    closing.callback(os.close, writing)
    return writing


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
