"""Copy a bundle from a folder or an archive to a new folder, atomically."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgecnn.bundle.finding import MANIFEST, check_outside_bundles
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, DigestMismatch, EdgecnnError
from edgecnn.files.folder import new_folder, write_new_file

_CHUNK = 1 << 20

Files = Iterator[tuple[str, Iterator[bytes]]]
"""Name and content chunks of each file. Consume the content before the next name."""


@dataclass(frozen=True)
class Incoming:
    """A bundle to copy.

    Attributes:
        path: its source, for messages.
        digest: the SHA-256 of its manifest.
        files: its files, read lazily and once.
    """

    path: Path
    digest: str
    files: Files


def files_of(bundle: Bundle) -> Files:
    """Read the files of an open bundle and check their digests.

    Raises:
        DigestMismatch: a file has changed since the bundle was opened.
        BundleError: a file cannot be read.
    """
    sealed = {name: entry.sha256 for name, entry in bundle.manifest.files.items()}
    for name in (MANIFEST, *sorted(sealed)):
        yield name, _sealed_chunks(bundle.path / name, sealed.get(name, bundle.digest))


def place(
    incoming: Incoming, out: Path, *, force: bool = False, prove: Callable[[Bundle], object] | None = None
) -> Bundle:
    """Copy a bundle to the folder `out`. The folder is created only if all digests match and `prove` succeeds.

    Raises:
        BundleError: the copy is not intact; the message names the source and the file.
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: writing failed, for example because the disk is full, or `prove` failed; nothing has changed.
    """
    check_outside_bundles(out)
    with new_folder(out, marker=MANIFEST, force=force) as new, _naming(incoming.path, new):
        for name, content in incoming.files:
            write_new_file(new / name, content)
        bundle = open_bundle(new)
        if prove is not None:
            prove(bundle)
    return dataclasses.replace(bundle, path=out)


def read_chunks(file: BinaryIO, size_bytes: int, *, path: Path) -> Iterator[bytes]:
    """Yield the next bytes of a file in chunks. Raise `BundleError` if the file ends early or cannot be read."""
    while size_bytes:
        try:
            chunk = file.read(min(size_bytes, _CHUNK))
        except OSError as error:
            raise BundleError(f"cannot read {path}: {error.strerror} (errno {error.errno})") from None
        if not chunk:
            raise BundleError(f"{path} is truncated: copy it again")
        size_bytes -= len(chunk)
        yield chunk


def _sealed_chunks(path: Path, sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            for chunk in read_chunks(file, size_bytes, path=path):
                digest.update(chunk)
                yield chunk
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror} (errno {error.errno})") from None
    if digest.hexdigest() != sha256:
        raise DigestMismatch(f"{path} has changed while it was read: copy the bundle again")


@contextlib.contextmanager
def _naming(source: Path, copy: Path) -> Iterator[None]:
    """Replace the path of the temporary copy with the source in error messages."""
    try:
        yield
    except EdgecnnError as error:
        error.args = (str(error).replace(f"{copy}/", f"{source}: ").replace(str(copy), str(source)),)
        raise
