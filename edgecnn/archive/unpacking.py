"""Unpack an untrusted archive. Every byte must be as `packing` writes it.

Each header is built again from the manifest in the archive, and all its 512 bytes are compared before any file is
written. This rejects links, devices, sparse files, and pax and GNU extensions, because their headers differ. A
different header is parsed for the error message only. Paths never come from headers, no library extracts files, and the
content of each file is checked against its digest.
"""

import contextlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgecnn.archive.copying import Files, Incoming, place, read_chunks
from edgecnn.archive.packing import BLOCK, END, LARGEST, padding, write_header
from edgecnn.bundle.finding import LARGEST_MANIFEST, MANIFEST
from edgecnn.bundle.reading import parse_manifest
from edgecnn.bundle.store import Bundle
from edgecnn.errors import (
    BundleError,
    BundleNotFound,
    DigestMismatch,
    FileMissing,
    ManifestError,
    UnexpectedFile,
    UnsafePath,
)
from edgecnn.files.digest import digest_bytes
from edgecnn.files.file import open_plain_file

_COMPRESSED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_EXPECTED = "expected an archive from `edgecnn pack`"
_COPY_AGAIN = "it is truncated; copy the archive again"
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.XHDTYPE: "a pax extension",
    tarfile.XGLTYPE: "a pax extension",
    tarfile.GNUTYPE_LONGNAME: "a GNU extension",
    tarfile.GNUTYPE_LONGLINK: "a GNU extension",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


def unpack(archive: Path, out: Path, *, force: bool = False) -> Bundle:
    """Extract the bundle in an archive to the folder `out`, atomically.

    Raises:
        BundleError: the archive is invalid. Each fault has a subclass, and the message names the file.
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: writing failed, for example because the disk is full; nothing has changed.
    """
    with open_archive(archive) as opened:
        return place(opened, out, force=force)


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Incoming]:
    """Open an archive and check all its headers, but not the content of its files. Raises as `unpack` does."""
    try:
        file = open_plain_file(path)
    except FileNotFoundError:
        raise BundleNotFound(f"{path} does not exist: {_EXPECTED}") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror} (errno {error.errno})") from None
    except ValueError as error:
        raise BundleError(f"{path} {error}: {_EXPECTED}") from None
    with file:
        yield _Survey(file, path, os.fstat(file.fileno()).st_size).archive()


class _Survey:
    """Checks that an archive contains the files of its manifest and nothing else."""

    def __init__(self, file: BinaryIO, path: Path, size_bytes: int) -> None:
        self._file = file
        self._path = path
        self._size_bytes = size_bytes
        self._members: dict[str, tuple[int, int]] = {}
        self._offset = 0

    def archive(self) -> Incoming:
        """Check all headers and return the bundle."""
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
                raise ManifestError(f"{self._path}: {MANIFEST} names {name}, which equals {other} on some systems")
            sizes[name] = manifest.files[name].size_bytes
        for name, size_bytes in sizes.items():
            self._take(manifest.name, name, size_bytes, named=sizes)
        rest = self._read(len(END) + 1)
        if rest != END:
            self._refuse_after_the_last(rest, sizes)
        return Incoming(self._path, digest_bytes(content), self._files())

    def _files(self) -> Files:
        for name, (offset, size_bytes) in self._members.items():
            self._file.seek(offset)
            yield name, read_chunks(self._file, size_bytes, path=self._path)

    def _manifest_bytes(self) -> bytes:
        """Read the manifest. Its header is checked later, because that needs the manifest."""
        header = self._read(BLOCK)
        for magic, kind in _COMPRESSED.items():
            if header.startswith(magic):
                raise BundleError(f"{self._path} is compressed with {kind}: {_EXPECTED}, an uncompressed tar")
        if len(header) < BLOCK:
            raise BundleError(f"{self._path} has only {len(header)} bytes: {_EXPECTED}")
        found = _read_header(header, archive=self._path)
        if found.name.rpartition("/")[2] != MANIFEST:
            raise FileMissing(f"{self._path} starts with {found.name!r} instead of {MANIFEST}: {_EXPECTED}")
        if found.size > LARGEST_MANIFEST:
            raise ManifestError(f"{self._path}: {MANIFEST} is too large: expected at most {LARGEST_MANIFEST >> 20} MiB")
        content = self._read(found.size)
        if len(content) < found.size:
            raise BundleError(f"{self._path} ends inside {MANIFEST}: {_COPY_AGAIN}")
        self._offset = 0
        return content

    def _take(self, folder: str, name: str, size_bytes: int, *, named: dict[str, int]) -> None:
        """Check the header of the next file, and skip its content."""
        header = self._read(BLOCK)
        if len(header) < BLOCK:
            raise BundleError(f"{self._path} ends before {name}: {_COPY_AGAIN}")
        # A header cannot record every size that a manifest can.
        if size_bytes not in range(LARGEST + 1) or header != write_header(folder, name, size_bytes):
            self._refuse(header, f"{folder}/{name}", size_bytes, named)
        self._members[name] = (self._offset, size_bytes)
        zeros = padding(size_bytes)
        if self._offset + size_bytes + len(zeros) > self._size_bytes:
            raise BundleError(f"{self._path} ends inside {name}: {_COPY_AGAIN}")
        self._offset += size_bytes
        if self._read(len(zeros)) != zeros:
            raise BundleError(f"{self._path} has extra bytes between {name} and the next file: pack the bundle again")

    def _refuse(self, header: bytes, path: str, size_bytes: int, named: dict[str, int]) -> None:
        """Raise the error for a header that differs from the expected one."""
        folder, _, name = path.rpartition("/")
        if header == bytes(BLOCK):
            raise FileMissing(f"{self._path} contains no {name}, which {MANIFEST} names: pack the bundle again")
        found = _read_header(header, archive=self._path)
        self._refuse_stranger(found.name, folder, named)
        if found.name != path:
            raise FileMissing(
                f"{self._path}: expected {name}, found {found.name!r} in its place: pack the bundle again"
            )
        if found.size != size_bytes:
            raise DigestMismatch(
                f"{self._path}: {name} has {found.size} bytes, expected {size_bytes}: pack the bundle again"
            )
        raise BundleError(
            f"{self._path}: the header of {name} has a time, an owner or an extension: pack with `edgecnn pack`"
        )

    def _refuse_stranger(self, path: str, folder: str, named: dict[str, int]) -> None:
        """Reject a file that the manifest does not name, or a duplicate."""
        known = {f"{folder}/{name}".casefold(): name for name in named}
        name = known.get(path.casefold())
        if name is None:
            raise UnexpectedFile(
                f"{self._path} contains {path!r}, which {MANIFEST} does not name in {folder}: pack the bundle again"
            )
        if path != f"{folder}/{name}":
            raise UnexpectedFile(
                f"{self._path} contains {path!r}, which equals {name} on some systems: pack the bundle again"
            )
        if name in self._members:
            raise UnexpectedFile(f"{self._path} contains {name} twice: pack the bundle again")

    def _refuse_after_the_last(self, rest: bytes, named: dict[str, int]) -> None:
        last = next(reversed(named))
        header = rest[:BLOCK]
        if len(rest) < len(END) and rest == bytes(len(rest)):
            raise BundleError(f"{self._path} ends after {last}: {_COPY_AGAIN}")
        if len(header) == BLOCK and header != bytes(BLOCK):
            found = _read_header(header, archive=self._path)
            folder = found.name.rpartition("/")[0]
            self._refuse_stranger(found.name, folder, named)
        raise BundleError(f"{self._path} has extra bytes after {last}, its last file: pack the bundle again")

    def _read(self, size_bytes: int) -> bytes:
        """Read up to `size_bytes` at the offset, and advance it."""
        try:
            self._file.seek(self._offset)
            content = self._file.read(size_bytes)
        except OSError as error:
            raise BundleError(f"cannot read {self._path}: {error.strerror} (errno {error.errno})") from None
        self._offset += len(content)
        return content


def _read_header(header: bytes, *, archive: Path) -> tarfile.TarInfo:
    """Parse a header for an error message.

    Raises:
        UnsafePath: it is not the header of a plain file, or its path may lead out of the folder.
        BundleError: it is not a header.
    """
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
    except tarfile.HeaderError:
        raise BundleError(f"{archive} is damaged or not an archive of `edgecnn pack`: copy or pack it again") from None
    path = info.name
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        what = _KINDS.get(info.type, f"of the unknown kind {info.type.decode('latin-1')!r}")
        raise UnsafePath(f"{archive} contains {path!r}, which is {what}: a bundle contains plain files only")
    if "\\" in path or ":" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise UnsafePath(f"{archive} contains the path {path!r}, which is not allowed in a bundle: pack it again")
    if not 0 <= info.size <= LARGEST:
        raise BundleError(f"{archive} records a size of {info.size} bytes for {path!r}: pack the bundle again")
    return info
