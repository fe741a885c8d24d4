"""Write folders, such as bundles and checkpoints, atomically.

A new folder is created under a hidden name in the same parent, synced to disk, then renamed. An existing folder is
exchanged with the new one atomically (`renameat2` with RENAME_EXCHANGE, Linux 3.15), so that a crash leaves a complete
old or new folder. If the system cannot exchange folders, the old one is renamed first. After a crash between the two
renames, the next writer restores it.
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
    """Check that an output folder can be written. Call this before long work.

    Args:
        out: the output folder.
        marker: the file that identifies folders that `force` may replace, such as `manifest.json`.
        force: whether an existing folder may be replaced.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is not a folder with the marker.
    """
    if not out.name or out.name in (".", ".."):
        raise UsageError(f"{out} cannot be an output folder: choose a new folder")
    if not os.path.lexists(out):
        return
    if not force:
        raise OutputExists(f"{out} exists already: choose another folder, or replace it with --force")
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{out} is not a folder, so --force does not replace it: choose another name")
    if any(out.iterdir()) and not (out / marker).is_file():
        raise UsageError(f"{out} contains no {marker}, so --force does not replace it: choose another folder")


def write_folder(out: Path, files: Mapping[str, bytes], *, marker: str, force: bool = False) -> None:
    """Write `files` (name to content) as the folder `out`, atomically. See `new_folder`."""
    with new_folder(out, marker=marker, force=force) as new:
        for name, content in files.items():
            write_new_file(new / name, (content,))


@contextlib.contextmanager
def new_folder(out: Path, *, marker: str, force: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder, which is renamed to `out` if the block succeeds.

    The block must sync its files to disk with `write_new_file` or `sync_file`. `marker` and `force` are as for
    `check_output`.

    Raises:
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: writing failed, for example because the disk is full; nothing has changed.
    """
    check_output(out, marker=marker, force=force)
    with writing(out) as new:
        yield new
        sync_folder(new)
        _put(new, out, force=force)


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Yield a locked empty folder next to `out`. The block writes its output there, then renames it to `out`.

    Raises:
        EdgecnnError: writing failed, for example because the disk is full; the message says if `out` has changed.
    """
    try:
        make_folder(out.parent)
        with workspace(out) as folder:
            yield folder
    except OSError as error:
        where = f"{error.filename}: " if error.filename and Path(error.filename) != out else ""
        reason = f"{where}{error.strerror or error} (errno {error.errno})"
        raise EdgecnnError(f"cannot write {out}: {reason}; existing files are unchanged") from error
    try:
        sync_folder(out.parent)
    except OSError as error:
        raise EdgecnnError(f"{out} is written, but cannot be synced to disk: {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and sync their names to disk."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)  # another process may create it at the same time
    for each in missing:
        sync_folder(each.parent)


def write_new_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that does not exist yet, and sync its content to disk."""
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
    """Sync a file's content to disk."""
    _sync(path, os.O_RDWR | _BINARY)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk, if the system supports it."""
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path, *, marker: str) -> None:
    """Delete a folder if it contains the file `marker` and is not a link."""
    if (path / marker).is_file() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Yield a locked empty folder next to `out`, and delete it afterwards."""
    new = out.parent / f".{out.name}.new-{secrets.token_hex(6)}"
    with locked(out.parent):  # otherwise another writer could delete the workspace before it is locked
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
                raise OutputExists(f"{out} was created by another process meanwhile: choose another folder") from None
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
    """Exchange two folders atomically. Return False if the system does not support it."""
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
    """Delete or restore the leftovers of a killed writer of `out`. A running writer's folder is locked and kept."""
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
    """Return the hidden folders that a writer of `out` has created."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.{kind}-[0-9a-f]{{12}}")
    return [path for path in out.parent.iterdir() if ours.fullmatch(path.name)]
