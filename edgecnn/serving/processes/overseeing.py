"""Waits for a child process, with bounds: on the time it takes, and on how much of what it says is kept."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

KEPT_BYTES = 1 << 20
_END_S = 5.0


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: exit code; negative for a signal.
        stdout: the end of what it wrote there.
        stderr: likewise.
    """

    code: int
    stdout: bytes
    stderr: bytes


def oversee(process: "subprocess.Popen[bytes]", timeout_s: float) -> Ended | None:
    """Read what a child writes until it ends; None where it took too long, and was killed with its own children.

    Args:
        process: with pipes for its standard streams, and a process group of its own.
        timeout_s: how long it may take.
    """
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    deadline = time.monotonic() + timeout_s
    in_time = False
    with process, selectors.DefaultSelector() as selector:
        try:
            for name in kept:
                selector.register(getattr(process, name), selectors.EVENT_READ, name)
            in_time = _read(selector, kept, deadline) and _ends(process, deadline)
        finally:
            if process.returncode is None:  # it has not been waited for, so its number is nobody else's
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, bytes(kept["stdout"]), bytes(kept["stderr"])) if in_time else None


def _read(selector: selectors.BaseSelector, kept: dict[str, bytearray], deadline: float) -> bool:
    """Read both pipes to their ends; False where the time is over before."""
    while selector.get_map():
        ready = selector.select(max(0.0, deadline - time.monotonic()))
        for key, _ in ready:
            content = os.read(key.fd, 65536)
            if not content:
                selector.unregister(key.fileobj)
            kept[key.data] += content
            del kept[key.data][:-KEPT_BYTES]
        if time.monotonic() >= deadline and selector.get_map():
            return False
    return True


def _ends(process: "subprocess.Popen[bytes]", deadline: float) -> bool:
    try:
        process.wait(max(_END_S, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True
