"""The folder in which several workers add up their metrics: private, and gone when the server is.

It belongs to the process that holds its lock. The system lets go of the lock when that process ends, however it does,
so what a killed server has left behind can be told from what another one still uses, in another container too.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from edgecnn.errors import EdgecnnError
from edgecnn.files.locking import LOCKS, locked, try_lock
from edgecnn.files.places import cache_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client knows the folder."""

_PREFIX = "metrics-"


class MetricsFolder:
    """A new folder, in the user's cache, or where that cannot be, among the system's temporary files."""

    def __init__(self) -> None:
        try:
            parent = cache_folder() / "serving"
            parent.mkdir(parents=True, exist_ok=True)
            with locked(parent):  # a folder that another server is about to lock must not look abandoned
                _drop_leftovers(parent)
                self._create(parent)
        except (OSError, EdgecnnError):
            self._create(None)

    def _create(self, parent: Path | None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        self._lock = try_lock(self.path)

    def forget(self, pid: int) -> None:
        """Drop what a worker that has ended said of the present, such as its requests in flight; its counts stay.

        Requests that it took along have failed.
        """
        from edgecnn.server.supervisor.metrics_settling import (
            settle,  # 5 MB that a supervisor of one worker does without
        )

        with contextlib.suppress(Exception):  # whatever a worker that has crashed left there, this process goes on
            settle(self.path, pid)
        for file in self.path.glob(f"gauge_live*_{pid}.db"):
            with contextlib.suppress(OSError):
                file.unlink()

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _drop_leftovers(parent: Path) -> None:
    if not LOCKS:
        return
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it has just gone
            lock = try_lock(folder)
            if lock is not None:  # nobody uses it
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
