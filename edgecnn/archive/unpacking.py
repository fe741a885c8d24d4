"""Unpack an archive that may be hostile: every byte must be as `packing` writes it.

Each header is built again from the manifest in the archive, and all its 512 bytes are compared before anything is
written. So links, devices, sparse files, and the extensions of pax and GNU need no rules of their own: their headers
differ. A header that differs is parsed for the error message only. No path comes from a header, no library extracts a
file, and the content of each file is checked against its digest.
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
_EXPECTED = "expected a file that `edgecnn pack` has written"
_COPY_AGAIN = "it was cut off: copy the archive again"
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
    """Write the bundle in an archive as the folder `out`, which appears whole and intact, or not at all.

    Raises:
        BundleError: the archive is not as it was packed; each kind of damage has its class, and the message names the
            file.
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: the system refused, for example because the disk is full; nothing has changed.
    """
    with open_archive(archive) as opened:
        return place(opened, out, force=force)


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Incoming]:
    """Open an archive and check all its headers, but not the content of its files; raises as `unpack` does."""
    try:
        file = open_plain_file(path)
    except FileNotFoundError:
        raise BundleNotFound(f"{path} is no archive: {_EXPECTED}, there is nothing") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror} (errno {error.errno})") from None
    except ValueError as error:
        raise BundleError(f"{path} {error}: {_EXPECTED}") from None
    with file:
        yield _Survey(file, path, os.fstat(file.fileno()).st_size).archive()


class _Survey:
    """A walk over all headers of an archive, which proves that its manifest's files are there and nothing else."""

    def __init__(self, file: BinaryIO, path: Path, size_bytes: int) -> None:
        self._file = file
        self._path = path
        self._size_bytes = size_bytes
        self._members: dict[str, tuple[int, int]] = {}
        self._offset = 0

    def archive(self) -> Incoming:
        """Check all headers."""
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
        rest = self._read(len(END) + 1)
        if rest != END:
            self._refuse_after_the_last(rest, sizes)
        return Incoming(self._path, digest_bytes(content), self._files())

    def _files(self) -> Files:
        for name, (offset, size_bytes) in self._members.items():
            self._file.seek(offset)
            yield name, read_chunks(self._file, size_bytes, path=self._path)

    def _manifest_bytes(self) -> bytes:
        """Read the manifest, whose header nothing is there yet to compare with."""
        header = self._read(BLOCK)
        for magic, kind in _COMPRESSED.items():
            if header.startswith(magic):
                raise BundleError(f"{self._path} is in the form of {kind}: {_EXPECTED}, which is an uncompressed tar")
        if len(header) < BLOCK:
            raise BundleError(f"{self._path} has {len(header)} bytes and is no archive: {_EXPECTED}")
        found = _read_header(header, archive=self._path)
        if found.name.rpartition("/")[2] != MANIFEST:
            raise FileMissing(f"{self._path} does not begin with {MANIFEST} but with {found.name!r}: {_EXPECTED}")
        if found.size > LARGEST_MANIFEST:
            raise ManifestError(
                f"{self._path}: {MANIFEST} has more than {LARGEST_MANIFEST >> 20} MiB: it is no manifest"
            )
        content = self._read(found.size)
        if len(content) < found.size:
            raise BundleError(f"{self._path} ends inside {MANIFEST}: {_COPY_AGAIN}")
        self._offset = 0
        return content

    def _take(self, folder: str, name: str, size_bytes: int, *, named: dict[str, int]) -> None:
        """Step over the next file, which must be the one that is expected."""
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
            raise BundleError(f"{self._path} holds something between {name} and the next file: pack the bundle again")

    def _refuse(self, header: bytes, path: str, size_bytes: int, named: dict[str, int]) -> None:
        """Say what stands where a file was expected."""
        folder, _, name = path.rpartition("/")
        if header == bytes(BLOCK):
            raise FileMissing(f"{self._path} holds no {name}, which {MANIFEST} names: pack the bundle again")
        found = _read_header(header, archive=self._path)
        self._refuse_stranger(found.name, folder, named)
        if found.name != path:
            raise FileMissing(f"{self._path} holds no {name} where it belongs, before {found.name!r}: pack it again")
        if found.size != size_bytes:
            raise DigestMismatch(
                f"{self._path}: {name} has {found.size} bytes, {size_bytes} were sealed: pack the bundle again"
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
        header = rest[:BLOCK]
        if len(rest) < len(END) and rest == bytes(len(rest)):
            raise BundleError(f"{self._path} ends right after {last}: {_COPY_AGAIN}")
        if len(header) == BLOCK and header != bytes(BLOCK):
            found = _read_header(header, archive=self._path)
            folder = found.name.rpartition("/")[0]
            self._refuse_stranger(found.name, folder, named)
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


def _read_header(header: bytes, *, archive: Path) -> tarfile.TarInfo:
    """Parse a header for an error message.

    Raises:
        UnsafePath: it is not the header of a plain file, or its path may lead out of the folder.
        BundleError: it is not a header.
    """
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
    except tarfile.HeaderError:
        raise BundleError(
            f"{archive} is damaged, or no archive that `edgecnn pack` has written: copy or pack it again"
        ) from None
    path = info.name
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        what = _KINDS.get(info.type, f"of the unknown kind {info.type.decode('latin-1')!r}")
        raise UnsafePath(f"{archive} holds {path!r}, which is {what}: a bundle holds plain files only")
    if "\\" in path or ":" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise UnsafePath(f"{archive} holds the path {path!r}, which is not that of a file in a bundle")
    if not 0 <= info.size <= LARGEST:
        raise BundleError(f"{archive} records a size of {info.size} bytes for {path!r}: pack the bundle again")
    return info
