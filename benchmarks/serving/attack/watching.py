"""The attacked server from outside: its resident memory, and its workers."""

import threading
import time
from types import TracebackType

from benchmarks.common.proc import command_of, resident_bytes, stat
from benchmarks.serving.server import Server

_EVERY_S, _PIDS_EVERY = 0.05, 10
_WORKER = b"edgecnn.server.worker"


class Watch:
    """Samples of the server's processes, from a thread, while it is open.

    Attributes:
        peak_bytes: the largest sum of the resident memory of all processes.
        workers: process ids of all workers so far.
    """

    def __init__(self, server: Server) -> None:
        self.peak_bytes = 0
        self.workers: set[int] = set()
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def worker_pid(self) -> int:
        """Return the process id of the current worker; 0 without one."""
        return next(iter(self._current_workers()), 0)

    def deaths(self) -> int:
        """Return the number of workers that have ended, and 1 more if the server itself has ended."""
        self._look(is_new_list=True)
        return len(self.workers - self._current_workers()) + (self._server.process.poll() is not None)

    def resident_bytes(self) -> int:
        """Return the resident memory of the supervisor, its worker and their children."""
        return sum(map(resident_bytes, self._server.pids()))

    def __enter__(self) -> "Watch":
        self._look(is_new_list=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._is_over.wait(_EVERY_S):
            number += 1
            self._look(is_new_list=number % _PIDS_EVERY == 0)

    def _look(self, *, is_new_list: bool) -> None:
        if is_new_list:
            self._pids = self._server.pids()
            self.workers |= self._current_workers()
        self.peak_bytes = max(self.peak_bytes, sum(map(resident_bytes, self._pids)))

    def _current_workers(self) -> set[int]:
        supervisor = self._server.process.pid
        return {
            pid
            for pid in self._server.pids()
            if (fields := stat(pid)) and int(fields[1]) == supervisor and _WORKER in command_of(pid)
        }


def settle(watch: Watch, limit_bytes: float, seconds: float) -> tuple[int, float]:
    """Wait until the resident memory is at most the limit, and return it with the seconds that this took.

    After `seconds`, return the memory of that moment.
    """
    start = time.monotonic()
    while True:
        found, took_s = watch.resident_bytes(), time.monotonic() - start
        if found <= limit_bytes or took_s >= seconds:
            return found, took_s
        time.sleep(0.1)
