"""Open the images of a job: files, tar archives as WebDataset writes them, or Parquet tables."""

import itertools
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from edgecnn.batch.plan import Entry, sorted_on_disk
from edgecnn.batch.tables import PARQUET, TableSource
from edgecnn.batch.tars import TAR, TarSource
from edgecnn.bundle.formats import SIGNATURE_BYTES, SUFFIXES, identify
from edgecnn.errors import SourceError, UsageError
from edgecnn.files.listing import files_in, is_pattern, listed_in, matching, walk
from edgecnn.runtime.images import Item

_LOOKED_AT = 1000  # files of a folder, to find archives and tables among them
_EXPECTED = "expected a folder, a list of image files, tar archives or Parquet files"


class Source(Protocol):
    """The images of a job.

    Attributes:
        kind: `files`, `tar` or `parquet`.
        place: a path that exists as long as the source does.
    """

    kind: str
    place: Path

    def entries(self) -> Iterator[Entry]:
        """Yield all images in a fixed order.

        Raises:
            SourceError: a folder, a list, an archive or a table cannot be read.
        """
        ...

    def read(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """Yield the path or the bytes of each image, or an error if it is missing in its table.

        Raises:
            SourceError: an archive or a table cannot be read.
        """
        ...

    def path(self, entry: Entry) -> Path:
        """Return the path of the file that contains an image."""
        ...


class FileSource:
    """Image files below a folder, or with any paths."""

    kind = "files"

    def __init__(self, place: Path, root: Path, names: Iterable[str]) -> None:
        """Describe files: `place` is what the user has named, and `names` are relative to `root` or absolute."""
        self.place, self._root, self._names = place, root, names

    def entries(self) -> Iterator[Entry]:
        """See `Source.entries`."""
        return map(Entry, self._names)

    def read(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See `Source.read`."""
        return map(self.path, entries)

    def path(self, entry: Entry) -> Path:
        """See `Source.path`."""
        return self._root / entry.name


def open_images(sources: Sequence[str], *, column: str | None = None) -> Source:
    """Open the images of a job.

    Args:
        sources: a folder, whose files are all read; a text file with one path per line; a glob pattern; or one or
            several images, tar archives or Parquet files.
        column: the column with the images of a Parquet file. The default is the only one with bytes or paths.

    Raises:
        SourceError: a source does not exist, is of no known kind, or the files are of several kinds.
        UsageError: `column` is set, and the source is not Parquet.
    """
    opened = _opened(sources, column)
    if column is not None and opened.kind != "parquet":
        raise UsageError(f"--column requires Parquet files, found {opened.kind}: leave it out")
    return opened


def _opened(sources: Sequence[str], column: str | None) -> Source:
    paths = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100  # Path.resolve would follow links
    place = paths[0]
    if len(paths) > 1:
        for path in paths:
            if not path.is_file():
                raise SourceError(f"{path} is not a file: with several sources, {_EXPECTED[9:]}")
        return _of_files(place.parent, paths, column)
    if place.is_dir():
        first = list(itertools.islice(walk(place), _LOOKED_AT))
        if not first:
            raise SourceError(f"{place} contains no files: {_EXPECTED}")
        if any(map(_kind_of, first)):
            return _of_files(place, files_in(place), column)
        return FileSource(place, place, sorted_on_disk(_names_below(place)))
    if place.is_file():
        return _of_file(place, column)
    if is_pattern(sources[0]):
        files = matching(sources[0], Path.cwd())
        if not files:
            raise SourceError(f"no file matches {sources[0]!r}: {_EXPECTED}")
        return _of_files(Path(os.path.commonpath([file.parent for file in files])), files, column)
    raise SourceError(f"{sources[0]!r} does not exist: {_EXPECTED}")


def _names_below(folder: Path) -> Iterator[str]:
    """Yield the path of each file relative to a folder.

    Raises:
        SourceError: a file is an archive or a table.
    """
    start = len(str(folder / "x")) - 1
    for path in walk(folder):
        if _kind_of(path) is not None:
            raise _mixed(folder, path)
        yield str(path)[start:]


def _of_file(path: Path, column: str | None) -> Source:
    """Open a file: an archive, a table, an image, or a list of images."""
    try:
        with path.open("rb") as file:
            start = file.read(SIGNATURE_BYTES)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    if _kind_of(path) is not None or path.suffix.lower() in SUFFIXES or identify(start) is not None:
        return _of_files(path.parent, [path], column)
    if tarfile.is_tarfile(path):
        raise SourceError(f"{path} is a compressed archive, or its name does not end in {TAR}: unpack or rename it")
    folder = str(path.parent / "x")[:-1]
    names = (os.path.normpath(file).removeprefix(folder) for _, file in listed_in(path))
    return FileSource(path, path.parent, names)


def _of_files(root: Path, files: Sequence[Path], column: str | None) -> Source:
    """Open files of one kind, which the suffix of the first one shows."""
    kind = _kind_of(files[0])
    other = next((file for file in files if _kind_of(file) != kind), None)
    if other is not None:
        raise _mixed(root, other if kind is None else files[0])
    if kind == TAR:
        return TarSource(root, files)
    if kind == PARQUET:
        return TableSource(root, files, column)
    return FileSource(root, root, (os.path.relpath(file, root) for file in files))


def _mixed(root: Path, file: Path) -> SourceError:
    """Return the error for files of several kinds; `file` is an archive or a table."""
    return SourceError(
        f"{root} contains {file.name} and files of other kinds: expected one kind in a job; choose with a pattern such "
        f"as '{root}/**/*{_kind_of(file)}'"
    )


def _kind_of(path: Path) -> str | None:
    """Return the suffix of an archive or a table; None for any other file."""
    suffix = path.suffix.lower()
    return suffix if suffix in (TAR, PARQUET) else None
