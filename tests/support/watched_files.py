"""Sees whether a file is opened, by whatever process: Linux tells it (inotify)."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_IN_OPEN = 0x20
_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def watching(path: Path) -> Iterator[Callable[[], bool]]:
    """Watch a file; what is returned says whether it was opened since it was last asked."""
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
