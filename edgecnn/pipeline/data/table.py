"""A CSV file of images with several labels: the header `path,LABEL,LABEL,…`, and 0 or 1 in each cell.

Paths are relative to the file's folder. The column `split`, with `train` or `test` in each line, is optional. Without
it, the images are split by content.
"""

import csv
import io
import os
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import SourceError
from edgecnn.hints import few
from edgecnn.pipeline.data.images import FileImages
from edgecnn.pipeline.data.scanning import colour_mode, scan
from edgecnn.pipeline.data.source import Split, check_split, split_by_content

SUFFIX = ".csv"

_PATH, _SPLIT = "path", "split"
_CELLS = {"0": 0, "1": 1}
_SPLITS = ("train", "test")
_EXPECTED = "expected the header path,LABEL,LABEL,… and 0 or 1 in each cell"
_SHOWN = 40  # characters of a cell in a message


class LabelTable:
    """Images of a CSV file, each with any number of labels."""

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        """Read the file. The images are not opened.

        Raises:
            SourceError: the file cannot be read or is damaged, or an image is missing.
        """
        self.name = path.name
        self._path, self._strict = path, strict
        header, *rows = list(_rows(path)) or [(1, [""])]
        names = _header(path, header)
        self.labels = tuple(name for name in names if name not in (_PATH, _SPLIT))
        self._files: list[Path] = []
        self._splits: list[str] = []
        targets = []
        lines: dict[Path, int] = {}
        for number, cells in rows:
            row = _row(path, number, names, cells)
            file = _file(path, number, row.pop(_PATH))
            if file in lines:
                raise _fault(path, number, f"{str(file)!r} is also in line {lines[file]}: keep one of them")
            lines[file] = number
            self._files.append(file)
            self._splits.append(row.pop(_SPLIT, ""))
            targets.append([_CELLS[row[label]] for label in self.labels])
        if not targets:
            raise SourceError(f"{path} has no images: expected a path and the labels of one image in each line")
        self._targets = np.array(targets, np.int64)

    @cached_property
    def mode(self) -> Mode:
        """The colour mode of the images."""
        return colour_mode(scan(self._files).images, self._path, strict=self._strict)

    def split(self, name: str) -> Split:
        """See `DataSource.split`. Targets are int64 [N, K] of 0 and 1."""
        check_split(self.name, name)
        folder = self._path.parent
        root = folder if all(file.is_relative_to(folder) for file in self._files) else None
        everything = Split(self.name, name, FileImages(self._files), self._targets, root, strict=self._strict)
        if not any(self._splits):
            remedy = "add more, or a column split with train and test"
            return split_by_content(everything, name, place=self._path, remedy=remedy)
        chosen = [index for index, of in enumerate(self._splits) if of == name]
        if not chosen:
            raise SourceError(f"{self._path} has no {name} images: write {name} in the column split of some lines")
        return everything.subset(chosen)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not blank, without space around the cells."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path} is not text in UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    if "\0" in text:
        raise SourceError(f"{path} has zero bytes: save it as UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise _fault(path, reader.line_num, f"it is not valid CSV ({error}): {_EXPECTED}") from None


def _header(path: Path, header: tuple[int, Sequence[str]]) -> list[str]:
    """Return the names of the columns, in Unicode NFC, after checking them."""
    number, cells = header
    names = [unicodedata.normalize("NFC", cell) for cell in cells]
    if names[0] != _PATH or len(names) == 1:
        raise _fault(path, number, f"{_EXPECTED}, found {_shown(','.join(names))}")
    for column, name in enumerate(names, start=1):
        if not name or not name.isprintable():
            raise _fault(path, number, f"column {column} has {'a name with control characters' if name else 'no name'}")
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise _fault(path, number, f"several columns have the name {few(twice)}: give each label its own name")
    if set(names) == {_PATH, _SPLIT}:
        raise _fault(path, number, f"{_EXPECTED}, found no label")
    return names


def _row(path: Path, number: int, names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return the cells of a line by column, after checking them."""
    if len(cells) != len(names):
        raise _fault(path, number, f"expected {len(names)} cells as in the header, found {len(cells)}")
    row = dict(zip(names, cells, strict=True))
    for name, cell in row.items():
        if name == _SPLIT and cell not in _SPLITS:
            raise _fault(path, number, f"expected train or test in the column split, found {_shown(cell)}")
        if name not in (_PATH, _SPLIT) and cell not in _CELLS:
            raise _fault(path, number, f"expected 0 or 1 in the column {name}, found {_shown(cell)}")
    return row


def _file(path: Path, number: int, cell: str) -> Path:
    """Return the path of an image in a line, after checking that it is a file."""
    if not cell:
        raise _fault(path, number, "expected the path of an image, found nothing")
    file = path.parent / cell
    if not os.path.isfile(file):  # noqa: PTH113  # Path.is_file raises an error if the name is too long
        raise _fault(path, number, f"{_shown(str(file))} is not a file")
    return file


def _fault(path: Path, number: int, what: str) -> SourceError:
    return SourceError(f"{path}, line {number}: {what}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
