"""Read the archive of a bundle as if an enemy had written it: only what `packing` writes is taken, byte for byte.

Every header is made again from the manifest in the archive and compared before anything is written, so an archive is
never larger than its manifest says. No name is taken from a header, nothing is extracted by a library, and the content
of each file is held against its digest. What differs is named, one error class for each kind.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edgecnn.archive import tar
from edgecnn.archive.copying import Files, place, read_chunks
from edgecnn.bundle.finding import LARGEST_MANIFEST, MANIFEST
from edgecnn.bundle.manifest import Manifest, parse_manifest
from edgecnn.bundle.store import Bundle
from edgecnn.errors import (
    BundleError,
    BundleNotFound,
    DigestMismatch,
    FileMissing,
    ManifestError,
    UnexpectedFile,
)
from edgecnn.files.digest import digest_bytes

_COMPRESSED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_EXPECTED = "expected a file that `edgecnn pack` has written"
_COPY_AGAIN = "it was cut off: copy the archive again"


@dataclass(frozen=True)
class Archive:
    """An open archive, an `Incoming`: every header of it was looked at, the content of its files was not.

    Attributes:
        path: where it is.
        manifest: of the bundle in it.
        digest: of that bundle.
        members: offset and size, in bytes, of each of its files.
        file: it, open for reading.
    """

    path: Path
    manifest: Manifest
    digest: str
    members: dict[str, tuple[int, int]]
    file: BinaryIO = field(repr=False)

    def files(self) -> Files:
        """Read it."""
        for name, (offset, size_bytes) in self.members.items():
            self.file.seek(offset)
            yield name, read_chunks(self.file, size_bytes, path=self.path)


def unpack(archive: Path, out: Path, *, force: bool = False) -> Bundle:
    """Write the bundle in an archive as the folder `out`, which appears whole and intact, or not at all.

    Raises:
        BundleError: one class for each way in which the archive is not as it was packed; the message names the file.
        OutputExists: `out` stands already and `force` is false.
        EdgecnnError: the system refused, for example a full disk; nothing has changed then.
    """
    with open_archive(archive) as opened:
        return place(opened, out, force=force)


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive and look at its every header; nothing is written.

    Raises:
        BundleError: as `unpack` does.
    """
    try:
        # Without O_NONBLOCK a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise BundleNotFound(f"{path} is no archive: {_EXPECTED}, there is nothing") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror} (errno {error.errno})") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a plain file: {_EXPECTED}")
    with os.fdopen(descriptor, "rb") as file:
        yield _Survey(file, path, status.st_size).archive()


class _Survey:
    """A walk over all headers of an archive, which proves that its manifest's files are there and nothing else."""

    def __init__(self, file: BinaryIO, path: Path, size_bytes: int) -> None:
        self._file = file
        self._path = path
        self._size_bytes = size_bytes
        self._members: dict[str, tuple[int, int]] = {}
        self._offset = 0

    def archive(self) -> Archive:
        """Walk."""
        content = self._manifest_bytes()
        try:
            manifest = parse_manifest(content)
        except BundleError as error:
            raise type(error)(f"{self._path}: {error}") from None
        sizes = {MANIFEST: len(content)}
        taken = {MANIFEST: MANIFEST}
        for name in sorted(manifest.files):
            other = taken.setdefault(name.casefold(), name)
            if other != name or name in sizes:
                raise ManifestError(f"{self._path}: {MANIFEST} names {name}, which some systems take for {other}")
            sizes[name] = manifest.files[name].size_bytes
        for name, size_bytes in sizes.items():
            self._take(manifest.name, name, size_bytes, named=sizes)
        rest = self._read(len(tar.END) + 1)
        if rest != tar.END:
            self._refuse_after_the_last(rest, sizes)
        return Archive(self._path, manifest, digest_bytes(content), self._members, self._file)

    def _manifest_bytes(self) -> bytes:
        """Read the manifest, whose header nothing is there yet to compare with."""
        header = self._read(tar.BLOCK)
        for magic, kind in _COMPRESSED.items():
            if header.startswith(magic):
                raise BundleError(f"{self._path} is in the form of {kind}: {_EXPECTED}, which is an uncompressed tar")
        if len(header) < tar.BLOCK:
            raise BundleError(f"{self._path} has {len(header)} bytes and is no archive: {_EXPECTED}")
        found = tar.read_header(header, archive=self._path)
        if found.path.rpartition("/")[2] != MANIFEST:
            raise FileMissing(f"{self._path} does not begin with {MANIFEST} but with {found.path!r}: {_EXPECTED}")
        if found.size_bytes > LARGEST_MANIFEST:
            raise ManifestError(
                f"{self._path}: {MANIFEST} has more than {LARGEST_MANIFEST >> 20} MiB: it is no manifest"
            )
        content = self._read(found.size_bytes)
        if len(content) < found.size_bytes:
            raise BundleError(f"{self._path} ends inside {MANIFEST}: {_COPY_AGAIN}")
        self._offset = 0
        return content

    def _take(self, folder: str, name: str, size_bytes: int, *, named: dict[str, int]) -> None:
        """Step over the next file, which must be the one that is expected."""
        header = self._read(tar.BLOCK)
        if len(header) < tar.BLOCK:
            raise BundleError(f"{self._path} ends before {name}: {_COPY_AGAIN}")
        # A size that no header can say is that of no file here.
        if size_bytes not in range(tar.LARGEST + 1) or header != tar.write_header(folder, name, size_bytes):
            self._refuse(header, f"{folder}/{name}", size_bytes, named)
        self._members[name] = (self._offset, size_bytes)
        padding = tar.padding(size_bytes)
        if self._offset + size_bytes + padding > self._size_bytes:
            raise BundleError(f"{self._path} ends inside {name}: {_COPY_AGAIN}")
        self._offset += size_bytes
        if self._read(padding) != bytes(padding):
            raise BundleError(f"{self._path} holds something between {name} and the next file: pack the bundle again")

    def _refuse(self, header: bytes, path: str, size_bytes: int, named: dict[str, int]) -> None:
        """Say what stands where a file was expected."""
        folder, _, name = path.rpartition("/")
        if header == bytes(tar.BLOCK):
            raise FileMissing(f"{self._path} holds no {name}, which {MANIFEST} names: pack the bundle again")
        found = tar.read_header(header, archive=self._path)
        self._refuse_stranger(found.path, folder, named)
        if found.path != path:
            raise FileMissing(f"{self._path} holds no {name} where it belongs, before {found.path!r}: pack it again")
        if found.size_bytes != size_bytes:
            raise DigestMismatch(
                f"{self._path}: {name} has {found.size_bytes} bytes, {size_bytes} were sealed: pack the bundle again"
            )
        raise BundleError(
            f"{self._path}: the header of {name} has a time, an owner or an extension; `edgecnn pack` writes none"
        )

    def _refuse_stranger(self, path: str, folder: str, named: dict[str, int]) -> None:
        """Refuse a file that the manifest does not name, or that was there already."""
        known = {f"{folder}/{name}".casefold(): name for name in named}
        name = known.get(path.casefold())
        if name is None:
            raise UnexpectedFile(
                f"{self._path} holds {path!r}, which {MANIFEST} does not name in {folder}: pack it again"
            )
        if path != f"{folder}/{name}":
            raise UnexpectedFile(f"{self._path} holds {path!r}, which some systems take for {name}: pack it again")
        if name in self._members:
            raise UnexpectedFile(f"{self._path} holds {name} twice: pack the bundle again")

    def _refuse_after_the_last(self, rest: bytes, named: dict[str, int]) -> None:
        last = next(reversed(named))
        header = rest[: tar.BLOCK]
        if len(rest) < len(tar.END) and rest == bytes(len(rest)):
            raise BundleError(f"{self._path} ends right after {last}: {_COPY_AGAIN}")
        if len(header) == tar.BLOCK and header != bytes(tar.BLOCK):
            found = tar.read_header(header, archive=self._path)
            folder = found.path.rpartition("/")[0]
            self._refuse_stranger(found.path, folder, named)
        raise BundleError(f"{self._path} holds something after {last}, its last file: pack the bundle again")

    def _read(self, size_bytes: int) -> bytes:
        """Read on from the offset; fewer bytes where the file ends."""
        try:
            self._file.seek(self._offset)
            content = self._file.read(size_bytes)
        except OSError as error:
            raise BundleError(f"cannot read {self._path}: {error.strerror} (errno {error.errno})") from None
        self._offset += len(content)
        return content
