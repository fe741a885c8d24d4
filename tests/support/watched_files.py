"""Detects with inotify whether any process opens a file."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_IN_OPEN = 0x20
_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def watching(path: Path) -> Iterator[Callable[[], bool]]:
    """Watch a file; yield a function that returns whether it was opened since the last call."""
    system = ctypes.CDLL(None, use_errno=True)
    watch = system.inotify_init1(_NONBLOCK)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    try:
        assert system.inotify_add_watch(watch, os.fsencode(path), _IN_OPEN) >= 0, os.strerror(ctypes.get_errno())

        def was_opened() -> bool:
            try:
                return bool(os.read(watch, 65536))
            except BlockingIOError:
                return False

        yield was_opened
    finally:
        os.close(watch)
