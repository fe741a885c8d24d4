"""Calls a child process and waits for its result, with limits on time and on captured output."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

import edgecnn.errors
from edgecnn.errors import EdgecnnError
from edgecnn.files.schema import plain
from edgecnn.host.child import child_command, child_environment

KEPT_BYTES = 1 << 20
_END_S = 5.0


@dataclass(frozen=True)
class Ended:
    """The end of a child process: exit code (negative for a signal), and the last bytes of its output."""

    code: int
    stdout: bytes
    stderr: bytes


def ask_child(module: str, question: object, timeout_s: float, *, niceness: int = 0) -> Ended | None:
    """Run an edgecnn module with a dataclass as its JSON argument.

    The calling thread must stay alive until this function returns: the child ends with it. A `niceness` above 0 lets
    other processes compute first; see nice(2). Windows ignores it.

    Returns:
        The result, or None on timeout: the child and its own children were killed.
    """
    process = subprocess.Popen(
        child_command(module, json.dumps(plain(question))),
        env=child_environment(),
        stdin=subprocess.PIPE,  # the child ends when this pipe closes, that is, when this process ends
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # the child's own children are in the group, and are killed with it
    )
    if niceness and hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # the child has already ended
            os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    deadline = time.monotonic() + timeout_s
    in_time = False
    with process, selectors.DefaultSelector() as selector:
        try:
            for name in kept:
                selector.register(getattr(process, name), selectors.EVENT_READ, name)
            in_time = _read(selector, kept, deadline) and _ends(process, deadline)
        finally:
            if process.returncode is None:  # not reaped yet, so the process ID cannot belong to another process
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, bytes(kept["stdout"]), bytes(kept["stderr"])) if in_time else None


def told_error(name: str, message: str, known: tuple[type[EdgecnnError], ...]) -> EdgecnnError:
    """Return a child's error: an instance of the named class if it is one of `known`, else `EdgecnnError`."""
    cls = getattr(edgecnn.errors, name, None)
    return cls(message) if isinstance(cls, type) and issubclass(cls, known) else EdgecnnError(message)


def _read(selector: selectors.BaseSelector, kept: dict[str, bytearray], deadline: float) -> bool:
    """Read both pipes until they close. Return False on timeout."""
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
