"""Where this user's records and caches lie, by the XDG Base Directory Specification."""

import os
from pathlib import Path

from edgecnn.errors import EdgecnnError


def state_folder() -> Path:
    """Return where records of what was measured lie: they are not to be lost.

    Raises:
        EdgecnnError: this user has no home folder, and `XDG_STATE_HOME` is not set.
    """
    return _place("XDG_STATE_HOME", ".local/state")


def cache_folder() -> Path:
    """Return where what can be made again lies: profiles of this machine, compiled graphs.

    Raises:
        EdgecnnError: this user has no home folder, and `XDG_CACHE_HOME` is not set.
    """
    return _place("XDG_CACHE_HOME", ".cache")


def _place(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    try:  # a relative path is to be ignored, says the specification
        return Path(named if Path(named).is_absolute() else Path.home() / default) / "edgecnn"
    except RuntimeError:
        raise EdgecnnError(f"there is no home folder: set HOME or {variable}") from None
