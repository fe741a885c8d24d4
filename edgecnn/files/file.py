"""Write files atomically. A writer also removes the leftovers of a killed one."""

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgecnn.errors import EdgecnnError, OutputExists, UsageError
from edgecnn.files.folder import sync_folder, write_new_file, writing
from edgecnn.files.locking import locked


@contextlib.contextmanager
def new_file(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path for a large file, which is renamed to `out` if the block succeeds.

    The block must sync the file to disk, as `write_new_file` does.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is not a plain file.
        EdgecnnError: writing failed, for example because the disk is full; nothing has changed.
    """
    check_new_file(out, force=force)
    with writing(out) as folder:
        yield folder / out.name
        with locked(out.parent):  # a hard link would need no lock, but file systems of memory cards have none
            check_new_file(out, force=force)
            (folder / out.name).replace(out)


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a small file atomically. Create its folder if necessary.

    Raises:
        EdgecnnError: writing failed; an existing file is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            write_new_file(new, (content,))
    except OSError as error:
        raise EdgecnnError(f"cannot write {path}: {error.strerror}; choose another file") from None


def check_writable(path: Path) -> None:
    """Check that `write_file` can write a file, before long work. Nothing is created.

    Raises:
        EdgecnnError: the file or its folder cannot be written.
    """
    if path.is_dir():
        raise EdgecnnError(f"cannot write {path}: it is a folder; choose another file")
    folder = next(each for each in path.resolve().parents if os.path.lexists(each))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EdgecnnError(f"cannot write {path}: {error.strerror}; choose another file") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden temporary path next to `path`. The file or link that the block creates replaces `path` atomically.

    Raises:
        OSError: writing failed; `path` is unchanged.
    """
    new = path.with_name(f".{path.name}.new-{secrets.token_hex(6)}")
    try:
        yield new
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)


def open_plain_file(path: Path) -> BinaryIO:
    """Open an untrusted file, which may be a pipe or a device.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a plain file; the message continues a sentence about it.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # opening a pipe would block
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("is not a plain file")
    return os.fdopen(descriptor, "rb")


def check_new_file(out: Path, *, force: bool) -> None:
    """Check that an output file can be written. Call this before long work.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is not a plain file.
    """
    if not out.name or out.name in (".", ".."):
        raise UsageError(f"{out} cannot be an output file: choose a new file name")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise UsageError(f"{out} is not a plain file and cannot be replaced: choose another name")
    if not force:
        raise OutputExists(f"{out} exists already: choose another file, or replace it with --force")
