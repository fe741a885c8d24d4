"""Folders of the user's records and caches, by the XDG Base Directory Specification."""

import os
from pathlib import Path

from edgecnn.errors import EdgecnnError


def state_folder() -> Path:
    """Return the folder of persistent records, such as measurements."""
    return _place("XDG_STATE_HOME", ".local/state")


def cache_folder() -> Path:
    """Return the folder of files that can be regenerated: profiles, compiled graphs."""
    return _place("XDG_CACHE_HOME", ".cache")


def _place(variable: str, default: str) -> Path:
    """Return a folder of edgecnn. Raise `EdgecnnError` if neither the variable nor the home folder is set."""
    named = os.environ.get(variable, "")
    try:  # the specification requires relative paths to be ignored
        return Path(named if Path(named).is_absolute() else Path.home() / default) / "edgecnn"
    except RuntimeError:
        raise EdgecnnError(f"expected a home folder, found none: set HOME or {variable}") from None
