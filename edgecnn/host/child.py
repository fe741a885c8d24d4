"""How a child process of ours is started: on the same processor, and with the same packages."""

import os
import signal
import sys
from pathlib import Path

from edgecnn.host.processor import emulated_command


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours; no namesake in the working directory is taken for a package."""
    return [*emulated_command(), sys.executable, "-P", "-m", module, *arguments]


def child_environment() -> dict[str, str]:
    """Return this process's environment, in which a child finds the packages that this process does."""
    paths = [os.environ.get("PYTHONPATH", ""), *(entry or str(Path.cwd()) for entry in sys.path)]
    path = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    return os.environ | {"ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": path}


def signal_name(code: int) -> str | None:
    """Return the name of the signal that ended a process, by its exit code; None where none did."""
    if code >= 0:
        return None
    return next((known.name for known in signal.Signals if known == -code), f"signal {-code}")


def last_line(stderr: bytes) -> str | None:
    """Return the last thing that a process has said; None where it said nothing."""
    lines = stderr.decode(errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), None)
