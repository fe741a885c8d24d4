"""The layout of a site, the folder that `edgecnn install` manages. Every change is one rename or one link.

::

    DIR/
    ├── current -> versions/4      the current version; `edgecnn serve DIR` follows the link
    ├── versions/
    │   ├── 2/  3/  4/             complete bundles; numbers only increase
    │   └── 4.sig                  signature of version 4
    └── previous/
        ├── 3 -> ../versions/2     current when 3 was installed: the target of a rollback from 3
        └── 4 -> ../versions/2     3 was rolled back before 4 was installed

The link in `previous` is written before `current` is switched. So one switch changes both the current version and the
target of a rollback. The order of versions does not depend on numbers or on a clock.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgecnn.bundle.finding import CURRENT, MANIFEST, VERSIONS, check_outside_bundles, is_bundle, signature_beside
from edgecnn.bundle.names import is_version
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files.digest import digest_file
from edgecnn.files.file import replacing
from edgecnn.files.folder import make_folder, write_new_file
from edgecnn.files.locking import locked

KEEP = 3
"""Number of versions to keep by default."""

_LEFTOVER = re.compile(r"\.(current|[1-9][0-9]*(?:\.sig)?)\.(new|gone)-[0-9a-f]{12}")


class Layout:
    """A site. Methods that change it must be called inside `at_work`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / CURRENT
        self._versions = folder / VERSIONS
        self._previous = folder / "previous"
        self._undoing = folder / ".rolling-back"

    @contextlib.contextmanager
    def at_work(self, *, create: bool) -> Iterator[None]:
        """Lock the site while the block runs, and delete leftovers of a crash. Create the site if `create` is set.

        Raises:
            UsageError: the folder contains other files than versions, or is a bundle.
            EdgecnnError: the folder does not exist, or writing failed.
        """
        if is_bundle(self.folder):
            raise UsageError(f"{self.folder} is a bundle: choose the folder that contains `current` and `versions`")
        check_outside_bundles(self.folder)
        with self._telling():
            if create:
                self._make()
            elif not self._versions.is_dir():
                raise EdgecnnError(f"no bundle is installed in {self.folder}: install one with `edgecnn install`")
            with locked(self.folder):
                self._sweep()
                yield
                self._sweep()

    def current_number(self) -> int | None:
        """Return the current version, or None. Raise `UsageError` if `current` is not a link to a version."""
        if not os.path.lexists(self.current):
            return None
        number = _led_to(self.current)
        if number is None:
            raise UsageError(f"{self.current} is not a link to a version in {self._versions}: choose another folder")
        return number

    def number_before(self, number: int) -> int | None:
        """Return the version that was current when `number` was installed; None if there was none, or it is deleted."""
        before = _led_to(self._previous / str(number))
        return before if before is not None and is_bundle(self.version(before)) else None

    def numbers(self) -> list[int]:
        """Return the installed versions, the lowest first."""
        return sorted(int(path.name) for path in self._versions.iterdir() if is_version(path.name))

    def version(self, number: int) -> Path:
        """Return the folder of a version."""
        return self._versions / str(number)

    def digest(self, number: int) -> str | None:
        """Return the digest of a version; None if its manifest cannot be read."""
        try:
            return digest_file(self.version(number) / MANIFEST)
        except OSError:
            return None

    def line(self, number: int | None) -> list[int]:
        """Return a version, then the targets of repeated rollbacks from it."""
        found: list[int] = []
        while number is not None and number not in found:
            found.append(number)
            number = self.number_before(number)
        return found

    def switch(self, number: int) -> None:
        """Make a version current, atomically."""
        _point(self.current, f"versions/{number}")

    def record_before(self, number: int, before: int | None) -> None:
        """Record the version that is current before `number` becomes current."""
        place = self._previous / str(number)
        if before is not None:
            make_folder(self._previous)
            _point(place, f"../versions/{before}")
        else:
            place.unlink(missing_ok=True)

    def put_signature(self, number: int, content: bytes) -> None:
        """Write the signature of a version, atomically."""
        place = signature_beside(self.version(number))
        if place.is_file() and place.read_bytes() == content:
            return
        with replacing(place) as new:
            write_new_file(new, (content,))

    def undoing(self) -> int | None:
        """Return the version from which an unfinished rollback started, or None."""
        return _led_to(self._undoing)

    def begin_undoing(self, number: int) -> None:
        """Record that a rollback starts, so that repeating it after a crash does not go back twice."""
        self.end_undoing()  # removes a file of that name from another program
        self._undoing.symlink_to(f"versions/{number}")

    def end_undoing(self) -> None:
        """Record that a rollback is finished. The next rollback deletes a record that a power cut has restored."""
        if os.path.lexists(self._undoing):  # on a read-only file system, deleting a missing file fails too
            self._undoing.unlink()

    def remove(self, number: int) -> None:
        """Hide a version, atomically. `at_work` deletes it at the end."""
        self.version(number).rename(self._versions / f".{number}.gone-{secrets.token_hex(6)}")

    def _make(self) -> None:
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder: choose another path")
        make_folder(self.folder)
        strangers = [child.name for child in self.folder.iterdir() if not child.name.startswith(".")]
        if strangers and not self._versions.is_dir():
            raise UsageError(f"{self.folder} contains {min(strangers)} and no installed versions: choose a new folder")
        make_folder(self._versions)

    def _sweep(self) -> None:
        """Delete leftovers of earlier operations. Errors are ignored, because leftovers are harmless."""
        for place in (self.folder, self._versions, self._previous):
            with contextlib.suppress(OSError):
                for leftover in [path for path in place.iterdir() if self._is_leftover(path)]:
                    if leftover.is_dir() and not leftover.is_symlink():
                        shutil.rmtree(leftover)
                    else:
                        leftover.unlink()

    def _is_leftover(self, path: Path) -> bool:
        """Return whether a path is a leftover: incomplete, hidden by `remove`, or part of a deleted version."""
        if _LEFTOVER.fullmatch(path.name):
            return True
        number = {self._previous: path.name, self._versions: path.name.removesuffix(".sig")}.get(path.parent, "")
        return is_version(number) and not os.path.lexists(self._versions / number)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Convert an OSError to an EdgecnnError with a one-line message."""
        try:
            yield
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            reason = f"{where}{error.strerror or error} (errno {error.errno})"
            number = _led_to(self.current)
            current = f"{self.current} points to version {number}" if number else "no version is current"
            raise EdgecnnError(f"cannot change {self.folder}: {reason}; {current}") from error


def _point(link: Path, target: str) -> None:
    """Point a link to another target, atomically."""
    with replacing(link) as new:
        new.symlink_to(target)


def _led_to(link: Path) -> int | None:
    """Return the version that a link points to; None if it is not a link to a version."""
    try:
        target = link.readlink().as_posix()
    except OSError:
        return None
    folder, _, number = target.rpartition("/")
    return int(number) if folder in (VERSIONS, f"../{VERSIONS}") and is_version(number) else None
