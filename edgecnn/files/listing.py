"""List the files that a user names: in folders, in text files, by glob patterns."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgecnn.errors import SourceError

_CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


def walk(folder: Path) -> Iterator[Path]:
    """Yield all visible files in a folder and its subfolders, in the order of the file system.

    Hidden files, the files that file managers create, and links to a folder above are left out.

    Raises:
        SourceError: a folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _is_visible(entry.name):
                    continue
                path = Path(entry.path)
                if not entry.is_dir():
                    yield path
                elif not (entry.is_symlink() and folder.resolve().is_relative_to(path.resolve())):
                    yield from walk(path)
    except OSError as error:
        raise SourceError(f"cannot read the folder {error.filename or folder}: {error.strerror}") from None


def files_in(folder: Path) -> list[Path]:
    """Return all visible files in a folder and its subfolders, in a fixed order; see `walk`."""
    return sorted(walk(folder))


def subfolders(folder: Path) -> list[Path]:
    """Return the visible subfolders, sorted.

    Raises:
        SourceError: the folder cannot be read.
    """
    try:
        return sorted(child for child in folder.iterdir() if _is_visible(child.name) and child.is_dir())
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from None


def is_pattern(text: str) -> bool:
    """Return whether a text is a glob pattern."""
    return any(character in text for character in "*?[")


def matching(pattern: str, folder: Path) -> list[Path]:
    """Return the files that match a glob pattern such as `photos/**/*.jpg`, sorted.

    `folder` is the base of a relative pattern. It is not a part of the pattern.
    """
    names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207  # takes absolute patterns too
    return [folder / name for name in names if (folder / name).is_file()]


def listed_in(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the line number and the path of each line of a text file that is not blank.

    Paths are relative to the folder of the text file. Bytes that are not UTF-8 are kept.

    Raises:
        SourceError: the file cannot be read, or is not text.
    """
    try:
        with path.open("rb") as file:
            yield from paths_of(file, path.parent, str(path))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None


def paths_of(lines: Iterable[bytes], folder: Path, name: str) -> Iterator[tuple[int, Path]]:
    """Yield the number and the path of each line that is not blank. `folder` is the base of relative paths.

    Raises:
        SourceError: a line contains a zero byte. The message begins with `name`.
    """
    for number, line in enumerate(lines, start=1):
        if b"\0" in line:
            raise SourceError(f"{name} is not a list of images: expected one path per line")
        text = line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip()
        if text:
            yield number, folder / os.fsdecode(text)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _CLUTTER
