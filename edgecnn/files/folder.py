"""Folders that appear complete or not at all: bundles and checkpoints are written through here.

A new folder is built under a hidden name beside its place, synced to disk, then renamed. An existing folder is
exchanged with the new one in one step (`renameat2` with RENAME_EXCHANGE, Linux 3.15), so that a crash at any
moment leaves a whole old or a whole new folder. Where the system cannot exchange, the old one is moved aside first
and the next writer puts it back if a crash came in between.
"""

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edgecnn.errors import EdgecnnError, OutputExists, UsageError
from edgecnn.files.locking import LOCKS, locked, try_lock

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


def check_output(out: Path, *, marker: str, force: bool) -> None:
    """Refuse an output that must not be written, before any long work begins.

    Args:
        out: the folder to be written.
        marker: the file that says a folder is of the kind that `force` may replace, such as `manifest.json`.
        force: whether an existing folder may be replaced.

    Raises:
        OutputExists: it stands already and `force` is false.
        UsageError: it is something that `force` must not replace.
    """
    if not out.name or out.name in (".", ".."):
        raise UsageError(f"{out} cannot be an output folder: name a new folder")
    if not os.path.lexists(out):
        return
    if not force:
        raise OutputExists(f"{out} exists already: choose another folder, or replace it with --force")
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{out} is not a folder, so --force does not replace it: choose another name")
    if any(out.iterdir()) and not (out / marker).is_file():
        raise UsageError(f"{out} holds no {marker}, so --force does not replace it: choose another folder")


def write_folder(out: Path, files: Mapping[str, bytes], *, marker: str, force: bool = False) -> None:
    """Write `files`, name to content, as the folder `out`, atomically; see `new_folder`."""
    with new_folder(out, marker=marker, force=force) as new:
        for name, content in files.items():
            write_new_file(new / name, (content,))


@contextlib.contextmanager
def new_folder(out: Path, *, marker: str, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `out`, whole, when the block ends; an error in the block leaves nothing.

    The block syncs its files to disk: see `sync_file` for those that others have written. `marker` and `force` are as
    for `check_output`.

    Raises:
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: the system refused, for example because the disk is full; nothing has changed.
    """
    check_output(out, marker=marker, force=force)
    with writing(out) as new:
        yield new
        sync_folder(new)
        _put(new, out, force=force)


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Yield a locked empty folder beside `out`, in which the block makes what it then puts at `out`, in one step.

    Raises:
        EdgecnnError: the system refused, for example a full disk; unless it says otherwise nothing has changed then.
    """
    try:
        make_folder(out.parent)
        with workspace(out) as folder:
            yield folder
    except OSError as error:
        where = f"{error.filename}: " if error.filename and Path(error.filename) != out else ""
        reason = f"{where}{error.strerror or error} (errno {error.errno})"
        raise EdgecnnError(f"cannot write {out}: {reason}; what stood there is unchanged") from error
    try:
        sync_folder(out.parent)
    except OSError as error:
        raise EdgecnnError(f"{out} is written, but may not survive a power cut: {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing, and make their names durable."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)  # another process may be doing the same
    for each in missing:
        sync_folder(each.parent)


def write_new_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that does not exist yet, and make its content durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o644)
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    _sync(path, os.O_RDWR | _BINARY)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path, *, marker: str) -> None:
    """Delete a folder of the kind that `marker` says, where it stands; anything else is left alone."""
    if (path / marker).is_file() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Yield a locked empty folder beside `out`; whatever stands at its name afterwards is deleted."""
    new = out.parent / f".{out.name}.new-{secrets.token_hex(6)}"
    with locked(out.parent):  # no sweep may come between making a workspace and locking it
        _sweep(out)
        new.mkdir(0o755)
        lock = try_lock(new)
    try:
        yield new
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(new, ignore_errors=True)


def _put(new: Path, out: Path, *, force: bool) -> None:
    if not (force and out.is_dir()):
        try:
            new.rename(out)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise OutputExists(f"{out} appeared while it was being written: another run made it") from None
            raise
    elif not _exchange(new, out):
        old = out.parent / f".{out.name}.old-{secrets.token_hex(6)}"
        out.rename(old)
        try:
            new.rename(out)
        except OSError:
            old.rename(out)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; false where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def _sweep(out: Path) -> None:
    """Clear what a killed writer of `out` left behind; the folder of a living one is locked and stays."""
    for old in _leftovers(out, "old"):
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(out)
    if not LOCKS:
        return
    for leftover in _leftovers(out, "new"):
        lock = try_lock(leftover)
        if lock is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(lock)


def _leftovers(out: Path, kind: str) -> list[Path]:
    """Find the hidden folders that only a writer of `out` can have made: nobody else's are ever touched."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.{kind}-[0-9a-f]{{12}}")
    return [path for path in out.parent.iterdir() if ours.fullmatch(path.name)]
