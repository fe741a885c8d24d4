"""Command lines for records, which contain no absolute path."""

import shlex
from collections.abc import Iterable
from pathlib import Path


def recorded(words: Iterable[str]) -> str:
    """Return a command of edgecnn for a record, with absolute paths shortened to their last part."""
    return shlex.join(["edgecnn", *map(_portable, words)])


def _portable(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else word
