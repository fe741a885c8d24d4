"""Lock folders. The system releases a lock when its process ends or crashes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no locks, so leftovers of a crash are not deleted
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
"""Whether locks are available. Without them an abandoned folder looks like one in use."""


def try_lock(folder: Path) -> int | None:
    """Lock a folder without waiting. Return the descriptor of the lock, or None if the folder cannot be locked.

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
    """Wait for the lock on a folder, and hold it while the block runs."""
    if not LOCKS:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
