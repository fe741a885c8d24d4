"""The plan of a job: its images in a fixed order, in a temporary database on disk.

Memory does not grow with the number of images.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgecnn.errors import EdgecnnError, SourceError
from edgecnn.hints import shown


@dataclass(frozen=True)
class Entry:
    """One image of a source.

    Attributes:
        name: path relative to the source, unique in a job. It is in the image's row.
        file: path of the archive or table that contains the image; empty if the image is a file.
        start: first byte of the image in an archive, or its row in a table.
        size: number of bytes in an archive.
    """

    name: str
    file: str = ""
    start: int = 0
    size: int = 0

    @property
    def printable_name(self) -> str:
        """The name as text. Bytes that are not UTF-8 are escaped as in Python's strings."""
        return os.fsencode(self.name).decode("utf-8", "backslashreplace")


class Plan:
    """The images of a job and their division into shards."""

    def __init__(self, entries: Iterable[Entry], *, shard_images: int) -> None:
        """Store the entries in their order.

        Raises:
            SourceError: two entries have the same name, or there are none.
            EdgecnnError: the disk of temporary files is full.
        """
        self._shard_images = shard_images
        self.images: int
        self._database = _temporary_database()
        self._database.execute(
            "CREATE TABLE images (at INTEGER PRIMARY KEY, name BLOB UNIQUE, file BLOB, start INTEGER, size INTEGER)"
        )
        digest = hashlib.sha256()
        name = ""

        def rows() -> Iterator[tuple[bytes, bytes, int, int]]:
            nonlocal name
            for entry in entries:
                name = entry.printable_name
                encoded = os.fsencode(entry.name)
                digest.update(b"%s\0%d\0%d\0" % (encoded, entry.start, entry.size))
                yield encoded, os.fsencode(entry.file), entry.start, entry.size

        with _translated():
            try:
                self._database.executemany("INSERT INTO images (name, file, start, size) VALUES (?, ?, ?, ?)", rows())
            except sqlite3.IntegrityError:
                raise SourceError(f"the source contains {shown(name)} twice: remove one of them") from None
            ((self.images,),) = self._database.execute("SELECT count(*) FROM images")
        self.digest = digest.hexdigest()

    def size_of(self, shard: int) -> int:
        """Return the number of images in a shard."""
        return min(self._shard_images, self.images - shard * self._shard_images)

    def entries(self, shard: int) -> list[Entry]:
        """Return the images of a shard, in order."""
        first = shard * self._shard_images
        rows = self._database.execute(
            "SELECT name, file, start, size FROM images WHERE at > ? AND at <= ? ORDER BY at",
            (first, first + self._shard_images),
        )
        return [Entry(os.fsdecode(name), os.fsdecode(file), start, size) for name, file, start, size in rows]

    def close(self) -> None:
        """Delete the database."""
        self._database.close()


def sorted_on_disk(paths: Iterable[str]) -> Iterator[str]:
    """Yield relative paths in the order of their parts, as sorted `Path` objects, in little memory.

    Raises:
        EdgecnnError: the disk of temporary files is full.
    """
    with contextlib.closing(_temporary_database()) as database, _translated():
        database.execute("CREATE TABLE paths (key BLOB)")
        keys = ((os.fsencode(path).replace(b"/", b"\0"),) for path in paths)  # a separator sorts before all characters
        database.executemany("INSERT INTO paths VALUES (?)", keys)
        for (key,) in database.execute("SELECT key FROM paths ORDER BY key"):
            yield os.fsdecode(key.replace(b"\0", b"/"))


def _temporary_database() -> sqlite3.Connection:
    """Return a private database, which SQLite writes to a temporary file and deletes when it is closed."""
    database = sqlite3.connect("", isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -8192", "temp_store = FILE"):
        database.execute(f"PRAGMA {setting}")
    return database


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise EdgecnnError(
            f"cannot store the list of images in the folder of temporary files: {error}; set TMPDIR to another folder"
        ) from None
