"""Pack a bundle into one file: the same bundle is the same bytes, everywhere and always.

The container is an uncompressed tar (POSIX ustar): the manifest first, the other files in the order of their names, all
in a folder named as the bundle is. Nothing is compressed, because what zlib writes depends on its version and its
fork, and INT8 weights hardly shrink; so nothing can swell when it is read either. It is no zip, which says each name
and size twice: readers differ in which of the two they believe.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecnn.archive import tar
from edgecnn.archive.copying import IncomingFolder
from edgecnn.bundle.finding import MANIFEST, check_outside_bundles
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import UsageError
from edgecnn.files.file import new_file
from edgecnn.files.folder import write_new_file


@dataclass(frozen=True)
class Packed:
    """What was written.

    Attributes:
        archive: the file.
        size_bytes: of it.
        sha256: of its bytes, as `sha256sum` says it.
        bundle: what is in it.
    """

    archive: Path
    size_bytes: int
    sha256: str
    bundle: Bundle


def pack(bundle: Path, out: Path, *, force: bool = False) -> Packed:
    """Write an intact bundle as one archive, atomically.

    Raises:
        BundleError: the bundle is not intact.
        OutputExists: `out` stands already and `force` is false.
        UsageError: `out` is no place for a file, or a file of the bundle is too large for a tar.
        EdgecnnError: the system refused, for example a full disk; nothing has changed then.
    """
    opened = open_bundle(bundle)
    for name, entry in opened.manifest.files.items():
        if entry.size_bytes > tar.LARGEST:
            limit = f"{(tar.LARGEST + 1) >> 30} GiB"
            raise UsageError(f"{bundle / name} has {limit} or more, too much for an archive: copy the folder")
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


def _chunks(bundle: Bundle) -> Iterator[bytes]:
    sizes = {name: entry.size_bytes for name, entry in bundle.manifest.files.items()}
    sizes[MANIFEST] = (bundle.path / MANIFEST).stat().st_size
    for name, content in IncomingFolder(bundle).files():
        yield tar.write_header(bundle.manifest.name, name, sizes[name])
        yield from content
        yield bytes(tar.padding(sizes[name]))
    yield tar.END
