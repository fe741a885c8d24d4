"""Locks on folders, which the system lets go of when their process ends, however it ends. Loads nothing heavy."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no locks, so leftovers of a crash stay until somebody deletes them
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
"""Whether there are any; where there are none, nobody can tell an abandoned folder from one in use."""


def try_lock(folder: Path) -> int | None:
    """Lock a folder without waiting; returns the descriptor that holds the lock, or None where there is none.

    Raises:
        OSError: the folder cannot be opened.
    """
    if not LOCKS:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder while the block runs; wait for whoever has it."""
    if not LOCKS:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
