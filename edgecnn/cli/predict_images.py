"""The images of `edgecnn predict`: files, folders, glob patterns, and a list on stdin."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import SourceError, UsageError
from edgecnn.files.listing import files_in, is_pattern, matching, paths_of

_STDIN = "-"


@dataclass(frozen=True)
class ChosenImage:
    """A file to classify; `is_named` if the user has named it, and false if a folder contains it."""

    path: Path
    is_named: bool = True


def chosen_images(paths: Sequence[Path]) -> list[ChosenImage]:
    """Return the images that arguments name.

    Raises:
        SourceError: a folder is empty or cannot be read, no file matches a pattern, or the list is empty.
        UsageError: stdin is named twice.
    """
    if [str(path) for path in paths].count(_STDIN) > 1:
        raise UsageError(f"{_STDIN} is given twice, but stdin can be read once: remove one of them")
    return [image for path in paths for image in _images_at(path)]


def _images_at(path: Path) -> Iterator[ChosenImage]:
    if str(path) == _STDIN:
        found = [ChosenImage(file) for _, file in paths_of(sys.stdin.buffer, Path(), "stdin")]
        problem = "stdin is empty: expected one path per line"
    elif path.is_dir():
        found = [ChosenImage(file, is_named=False) for file in files_in(path)]
        problem = f"{path} contains no files: expected images"
    elif is_pattern(str(path)) and not path.exists():
        found = [ChosenImage(file) for file in matching(str(path), Path())]
        problem = f"no file matches {str(path)!r}"
    else:
        found, problem = [ChosenImage(path)], ""
    if not found:
        raise SourceError(problem)
    yield from found
