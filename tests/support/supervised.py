"""A supervisor process with a fake worker."""

import dataclasses
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 60.0
QUICK = "Restarts(first_s=0.05, longest_s=0.2, stable_s=30.0, limit=4)"


@dataclasses.dataclass
class Server:
    """A supervisor process, and the notes of its workers."""

    process: subprocess.Popen[str]
    notes: Path
    log: Path

    def logged(self, text: str) -> str:
        """Wait until a log line contains `text`; return the line."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"not logged: {text!r} in\n{self.log.read_text()}")

    @property
    def url(self) -> str:
        """Return the server's URL once it listens."""
        return self.logged("edgecnn listens on ").split(" on ")[1].split()[0]

    def ask(self) -> int:
        """Return the process id of the worker that answers."""
        with urllib.request.urlopen(self.url, timeout=PATIENCE_S) as answer:
            return int(answer.read())

    def pids(self) -> list[int]:
        """Return the process ids of all workers so far."""
        file = self.notes / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def wait_for_worker(self) -> None:
        """Wait until the first worker has started."""
        self._wait_for(self.pids)

    def wait_for_note(self, name: str) -> None:
        """Wait until a worker has written a note."""
        self._wait_for((self.notes / name).exists)

    def _wait_for(self, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def has_exited(pid: int) -> bool:
    """Return whether a process has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # process 1 reaps orphans, possibly later
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
