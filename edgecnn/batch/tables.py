"""The images of Parquet files: a column with their bytes or paths.

Also read: Hugging Face's images, a column of the type `struct<bytes, path>`.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgecnn.batch.plan import Entry
from edgecnn.errors import ImageError, MissingExtra, SourceError, UsageError
from edgecnn.hints import few, install_command
from edgecnn.runtime.images import Item

PARQUET = ".parquet"

_PATH_COLUMNS = frozenset(("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path"))
_ROWS = 64
"""Rows that are read at once. The bytes of their images are in memory."""


class TableSource:
    """Parquet files of one schema."""

    kind = "parquet"

    def __init__(self, place: Path, files: Sequence[Path], column: str | None) -> None:
        """Choose the column of the images.

        Raises:
            SourceError: a file cannot be read, or the column is unknown or ambiguous.
            MissingExtra: pyarrow is not installed.
        """
        self.place, self._files = place, files
        with _opened(files[0]) as table:
            self._column = _chosen(table.schema_arrow, column, files[0])
            self._has_paths = _is_text(table.schema_arrow.field(self._column).type)
        self._reader: tuple[str, int, Iterator[Any]] | None = None  # file, its next row, and the values from there

    def entries(self) -> Iterator[Entry]:
        """See `Source.entries`."""
        for path in self._files:
            name = os.path.relpath(path, self.place)
            if self._has_paths:
                for row, value in enumerate(self._values(path, 0)):
                    own = os.path.normpath(Path(name).parent / value) if value else f"{name}#{row}"
                    yield Entry(own, str(path), row)
                continue
            with _opened(path) as table:
                _check_column(table.schema_arrow, self._column, path)
                rows = table.metadata.num_rows
            for row in range(rows):
                yield Entry(f"{name}#{row}", str(path), row)

    def read(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See `Source.read`."""
        for entry in entries:
            yield self._image(entry.file, self._value(entry.file, entry.start))

    def path(self, entry: Entry) -> Path:
        """See `Source.path`."""
        return self.place / entry.name if self._has_paths else Path(entry.file)

    def _image(self, file: str, value: Any) -> Item:
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str) and value:
            return Path(file).parent / value
        return value or ImageError("the row has no image")

    def _value(self, file: str, row: int) -> Any:
        """Return the value of a row. Consecutive rows are read from one stream."""
        if self._reader is None or self._reader[:2] != (file, row):
            self._reader = file, row, self._values(Path(file), row)
        values = self._reader[2]
        self._reader = file, row + 1, values
        try:
            return next(values)
        except StopIteration:
            raise SourceError(f"{file} has become shorter: restore it") from None

    def _values(self, path: Path, first: int) -> Iterator[Any]:
        """Yield the values of the column from a row on."""
        with _opened(path) as table:
            _check_column(table.schema_arrow, self._column, path)
            group = start = 0
            while group < table.num_row_groups and start + table.metadata.row_group(group).num_rows <= first:
                start += table.metadata.row_group(group).num_rows
                group += 1
            groups = list(range(group, table.num_row_groups))
            skipped = first - start
            for batch in table.iter_batches(_ROWS, row_groups=groups, columns=[self._column], use_threads=False):
                values = batch.column(0).to_pylist()
                yield from values[skipped:]
                skipped = max(0, skipped - len(values))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file, and translate the errors of reading it."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingExtra(f"Parquet needs pyarrow, which is not installed: {install_command('batch')}") from None
    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20) as table:
            yield table
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise SourceError(f"cannot read the Parquet file {path}: {reason:.200}") from None


def _chosen(schema: Any, column: str | None, path: Path) -> str:
    """Return the column with the images: the given one, or the only one with bytes or paths."""
    if column is not None:
        _check_column(schema, column, path)
        if not (_is_text(schema.field(column).type) or _has_bytes(schema.field(column).type)):
            raise UsageError(f"--column {column}: expected bytes or paths, found {schema.field(column).type}")
        return column
    names = [field.name for field in schema if _has_bytes(field.type)] or [
        field.name for field in schema if _is_text(field.type) and field.name.lower() in _PATH_COLUMNS
    ]
    if len(names) != 1:
        found = f"several: {few(names)}" if names else f"the columns {few(schema.names)}"
        raise SourceError(f"{path}: expected one column with the bytes or the paths of images, found {found}: "
                          f"choose one with --column")  # fmt: skip
    return str(names[0])


def _check_column(schema: Any, column: str, path: Path) -> None:
    if column not in schema.names:
        raise SourceError(f"{path} has no column {column}: found {few(schema.names)}")


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _has_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))
