"""Files that appear complete or not at all. The next writer removes what a killed one left behind."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgecnn.errors import EdgecnnError, OutputExists, UsageError
from edgecnn.files.folder import sync_folder, write_new_file, writing
from edgecnn.files.locking import locked


@contextlib.contextmanager
def new_file(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a place for a large file that becomes `out` when the block ends; an error in the block leaves nothing.

    The block makes its content durable, as `write_new_file` does.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is not a plain file.
        EdgecnnError: the system refused, for example a full disk; nothing has changed then.
    """
    _check(out, force=force)
    with writing(out) as folder:
        yield folder / out.name
        with locked(out.parent):  # a hard link would refuse to replace by itself, but memory cards know none
            _check(out, force=force)
            (folder / out.name).replace(out)


def write_file(path: Path, content: bytes) -> None:
    """Write a small file and replace an earlier one in one step; its folder is created.

    Raises:
        EdgecnnError: the system refused; an earlier file is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            write_new_file(new, (content,))
    except OSError as error:
        raise EdgecnnError(f"cannot write {path}: {error.strerror}; name another file") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside `path`; the file or link that the block makes there replaces `path` in one step.

    Raises:
        OSError: the system refused; `path` is unchanged.
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
    """Open a file that anybody may have put there.

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


def _check(out: Path, *, force: bool) -> None:
    if not out.name or out.name in (".", ".."):
        raise UsageError(f"{out} cannot be an output file: name a new file")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise UsageError(f"{out} is not a plain file, so it is not replaced: choose another name")
    if not force:
        raise OutputExists(f"{out} exists already: choose another file, or replace it with --force")
