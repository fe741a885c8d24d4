"""Pack a bundle into an archive. The same bundle gives the same bytes on every system.

The archive is an uncompressed tar (POSIX ustar). It contains one folder with the bundle's name: first the manifest,
then the other files, sorted by name. A header contains the path and the size of a file, but no time, owner or mode.

The archive is not compressed, because the output of zlib depends on its version and INT8 weights hardly shrink. So
reading an archive cannot expand it. The format is not zip, which records names and sizes twice, so that readers may
disagree.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecnn.archive.copying import files_of
from edgecnn.bundle.finding import MANIFEST, check_outside_bundles
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import UsageError
from edgecnn.files.file import new_file
from edgecnn.files.folder import write_new_file

BLOCK = tarfile.BLOCKSIZE
"""Size of a header in bytes. The content of each file is padded to a multiple of it."""

END = bytes(2 * BLOCK)
"""The end of an archive."""

LARGEST = 8**11 - 1
"""Largest size of a file in bytes (8 GiB): a header has eleven octal digits for it."""


@dataclass(frozen=True)
class Packed:
    """A written archive, the SHA-256 of its bytes (as `sha256sum` prints it), and its bundle."""

    archive: Path
    size_bytes: int
    sha256: str
    bundle: Bundle


def pack(bundle: Path, out: Path, *, force: bool = False) -> Packed:
    """Write an intact bundle as one archive, atomically.

    Raises:
        BundleError: the bundle is not intact.
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is not the path of a plain file, or a file of the bundle is too large for a tar.
        EdgecnnError: writing failed, for example because the disk is full; nothing has changed.
    """
    opened = open_bundle(bundle)
    for name, entry in opened.manifest.files.items():
        if entry.size_bytes > LARGEST:
            limit = f"{(LARGEST + 1) >> 30} GiB"
            raise UsageError(f"{bundle / name} is too large: expected less than {limit}; copy the folder instead")
    digest, size_bytes = hashlib.sha256(), 0

    def counted() -> Iterator[bytes]:
        nonlocal size_bytes
        for chunk in _chunks(opened):
            digest.update(chunk)
            size_bytes += len(chunk)
            yield chunk

    check_outside_bundles(out)
    with new_file(out, force=force) as new:
        write_new_file(new, counted())
    return Packed(out, size_bytes, digest.hexdigest(), opened)


def write_header(folder: str, name: str, size_bytes: int) -> bytes:
    """Return the header of the file `folder/name`. Each name has at most 100 ASCII characters."""
    info = tarfile.TarInfo(f"{folder}/{name}")
    info.size = size_bytes
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def padding(size_bytes: int) -> bytes:
    """Return the zeros that follow a file of this size."""
    return bytes(-size_bytes % BLOCK)


def _chunks(bundle: Bundle) -> Iterator[bytes]:
    sizes = {name: entry.size_bytes for name, entry in bundle.manifest.files.items()}
    sizes[MANIFEST] = (bundle.path / MANIFEST).stat().st_size
    for name, content in files_of(bundle):
        yield write_header(bundle.manifest.name, name, sizes[name])
        yield from content
        yield padding(sizes[name])
    yield END
