"""The worker's signs of life to the supervisor, and its exit."""

import asyncio
import contextlib
import faulthandler
import os
from collections.abc import Callable
from typing import NoReturn

from edgecnn.server import logs
from edgecnn.server.supervisor.job import BEAT, BEAT_S, STACK_SIGNAL


def send_beats(fd: int, loop: asyncio.AbstractEventLoop, *, can_answer: Callable[[], bool]) -> None:
    """Start to write a beat per second from the event loop, and the stack of the main thread on `STACK_SIGNAL`.

    The writes never wait: a beat that does not fit into the pipe is dropped.

    Args:
        fd: the pipe of beats.
        loop: the running event loop; call this in its thread.
        can_answer: returns whether the server can accept and answer requests; otherwise no beat is written.
    """
    os.set_blocking(fd, False)
    if STACK_SIGNAL is not None:
        faulthandler.register(STACK_SIGNAL, file=fd, all_threads=False)

    def beat() -> None:
        loop.call_later(BEAT_S, beat)
        if can_answer():
            with contextlib.suppress(OSError):
                os.write(fd, BEAT)

    beat()


def exit_now(code: int) -> NoReturn:
    """Write the log, and exit without Python's cleanup, because threads of an engine may hang."""
    logs.flush()
    os._exit(code)
