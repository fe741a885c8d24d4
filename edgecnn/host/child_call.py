"""Asks a child process and waits, with bounds: on the time it takes, and on how much of what it says is kept."""

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
    """How a child ended: its exit code, negative for a signal, and the end of what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


def ask_child(module: str, question: object, timeout_s: float) -> Ended | None:
    """Run a module of ours with a question, a dataclass, as its JSON argument.

    The thread that calls must not end before, since the child would end with it.

    Returns:
        None if it took longer than `timeout_s`: it was killed with its own children.
    """
    process = subprocess.Popen(
        child_command(module, json.dumps(plain(question))),
        env=child_environment(),
        stdin=subprocess.PIPE,  # its end tells the child that this process is gone
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # what it starts is killed with it
    )
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


def told_error(name: str, message: str, known: tuple[type[EdgecnnError], ...]) -> EdgecnnError:
    """Return the error that a child reported: of the class it named if that is one of `known`, else `EdgecnnError`."""
    cls = getattr(edgecnn.errors, name, None)
    return cls(message) if isinstance(cls, type) and issubclass(cls, known) else EdgecnnError(message)


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
