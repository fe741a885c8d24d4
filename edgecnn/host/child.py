"""Commands and environments of child processes that run edgecnn modules."""

import os
import signal
import sys
from pathlib import Path

from edgecnn.host.processor import emulated_command


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs an edgecnn module in a child process.

    It ignores modules in the working directory, and runs in the same emulator as this process.
    """
    return [*emulated_command(), sys.executable, "-P", "-m", module, *arguments]


def child_environment() -> dict[str, str]:
    """Return the environment for a child process: this process's environment and import path."""
    paths = [os.environ.get("PYTHONPATH", ""), *(entry or str(Path.cwd()) for entry in sys.path)]
    path = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    return os.environ | {"ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": path}


def signal_name(code: int) -> str | None:
    """Return the name of the signal that ended a process, from its exit code; None if no signal did."""
    if code >= 0:
        return None
    return next((known.name for known in signal.Signals if known == -code), f"signal {-code}")


def last_line(stderr: bytes) -> str | None:
    """Return the last non-empty line of a process's error output; None if there is none."""
    lines = stderr.decode(errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), None)
