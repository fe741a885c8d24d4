"""The worker's signs of life to the supervisor, and its exit."""

import asyncio
import contextlib
import faulthandler
import os
from collections.abc import Callable
from typing import NoReturn

from edgecnn.server import logs
from edgecnn.server.supervisor.job import HEARTBEAT, HEARTBEAT_S, STACK_SIGNAL


def send_heartbeats(fd: int, loop: asyncio.AbstractEventLoop, *, can_answer: Callable[[], bool]) -> None:
    """Start to write a heartbeat per second from the event loop, and the stack of the main thread on `STACK_SIGNAL`.

    The writes never wait: a heartbeat that does not fit into the pipe is dropped.

    Args:
        fd: the pipe of heartbeats.
        loop: the running event loop; call this in its thread.
        can_answer: returns whether the server can accept and answer requests; otherwise no heartbeat is written.
    """
    os.set_blocking(fd, False)
    if STACK_SIGNAL is not None:
        faulthandler.register(STACK_SIGNAL, file=fd, all_threads=False)

    def heartbeat() -> None:
        loop.call_later(HEARTBEAT_S, heartbeat)
        if can_answer():
            with contextlib.suppress(OSError):
                os.write(fd, HEARTBEAT)

    heartbeat()


def exit_now(code: int) -> NoReturn:
    """Write the log, and exit without Python's cleanup, because threads of an engine may hang."""
    logs.flush()
    os._exit(code)
