"""Rules for names of bundles and numbers of versions. Uses the standard library only."""

import re

from edgecnn.errors import UsageError

_LONGEST = 100
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]|^$|^[._-]")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def is_name(name: str) -> bool:
    """Return whether a bundle, or a file in it, may have this name."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return a bundle's name if it is valid.

    Raises:
        UsageError: the name is too long, or has other characters than letters, digits, `.`, `_`, `-`.
    """
    if not is_name(name):
        raise UsageError(f"{name!r} is not a valid bundle name: use up to {_LONGEST} letters, digits, '.', '_' and '-'")
    return name


def replace_invalid(name: str) -> str:
    """Return the name of a folder with `_` in place of what a bundle's name cannot contain."""
    return _NOT_IN_NAMES.sub("_", name)[:_LONGEST]


def is_version(number: str) -> bool:
    """Return whether this is a version: a positive number with at most 18 digits, so that it fits in 64 bits."""
    return _VERSION.fullmatch(number) is not None
