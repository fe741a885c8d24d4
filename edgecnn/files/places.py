"""Where this user's records and caches lie, by the XDG Base Directory Specification."""

import os
from pathlib import Path

from edgecnn.errors import EdgecnnError


def state_folder() -> Path:
    """Return the folder of records that must not be lost, such as measurements."""
    return _place("XDG_STATE_HOME", ".local/state")


def cache_folder() -> Path:
    """Return the folder of what can be made again: profiles of this machine, compiled graphs."""
    return _place("XDG_CACHE_HOME", ".cache")


def _place(variable: str, default: str) -> Path:
    """Return a folder of edgecnn; raises `EdgecnnError` if the user has no home folder and the variable is not set."""
    named = os.environ.get(variable, "")
    try:  # a relative path is to be ignored, says the specification
        return Path(named if Path(named).is_absolute() else Path.home() / default) / "edgecnn"
    except RuntimeError:
        raise EdgecnnError(f"there is no home folder: set HOME or {variable}") from None
