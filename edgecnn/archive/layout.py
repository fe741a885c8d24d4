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

from edgecnn.bundle.finding import (
    CURRENT,
    MANIFEST,
    PREVIOUS,
    VERSIONS,
    check_outside_bundles,
    is_bundle,
    is_site,
    linked_version,
    mending,
    signature_beside,
    version_before,
    why_not_current,
    written_version,
)
from edgecnn.bundle.names import is_version
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files.digest import digest_file
from edgecnn.files.file import replacing
from edgecnn.files.folder import make_folder, write_new_file
from edgecnn.files.locking import locked

KEEP = 3
"""Number of versions to keep by default."""

_LEFTOVER = re.compile(r"\.(current|rolling-back|[1-9][0-9]*(?:\.sig)?)\.(new|gone)-[0-9a-f]{12}")


class Layout:
    """A site. Methods that change it must be called inside `at_work`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / CURRENT
        self._versions = folder / VERSIONS
        self._previous = folder / PREVIOUS
        self._undoing = folder / ".rolling-back"
        self._is_site = is_site(folder)  # before leftovers, by which a damaged one is recognised, are deleted

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
        """Return the current version; None if nothing is installed.

        Raises:
            UsageError: `current` is a link to something else.
            EdgecnnError: the site is damaged: `current` is missing, or not a link.
        """
        number = linked_version(self.current)
        if number is None and is_site(self.folder):
            damage = why_not_current(self.folder) or f"{self.current} is a folder and not a link to a version"
            raise EdgecnnError(f"{self.folder} is a damaged site: {damage}{mending(self.current)}")
        if number is None and os.path.lexists(self.current):
            raise self._foreign()
        return number

    def repaired_number(self) -> int | None:
        """Return the current version, also of a site that was copied without links; None if there is none.

        A folder `current` is the copy of a version. If that version is missing, the folder becomes a version. `switch`
        then replaces a damaged `current` by a link.

        Raises:
            UsageError: `current` is a link to something else, or not of a site.
        """
        current = self.current
        number = linked_version(current)
        if number is not None or not os.path.lexists(current):
            return number
        if current.is_symlink() or not self._is_site:
            raise self._foreign()
        if not is_bundle(current):
            return written_version(current)
        digest = digest_file(current / MANIFEST)
        number = next((each for each in reversed(self.numbers()) if self.digest(each) == digest), None)
        if number is None:
            number = max(self.numbers(), default=0) + 1
            current.rename(self.version(number))
        return number

    def number_before(self, number: int) -> int | None:
        """Return the version that was current when `number` was installed; None if there was none, or it is deleted."""
        return version_before(self.folder, number)

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
        _point(self.current, f"{VERSIONS}/{number}")

    def record_before(self, number: int, before: int | None) -> None:
        """Record the version that is current before `number` becomes current."""
        place = self._previous / str(number)
        if before is not None:
            if not self._previous.is_dir():
                _clear(self._previous)  # a file system without links makes a file of a link, or of nothing
            make_folder(self._previous)
            _point(place, f"../{VERSIONS}/{before}")
        else:
            _clear(place)

    def put_signature(self, number: int, content: bytes) -> None:
        """Write the signature of a version, atomically."""
        place = signature_beside(self.version(number))
        if place.is_file() and place.read_bytes() == content:
            return
        with replacing(place) as new:
            write_new_file(new, (content,))

    def undoing(self) -> int | None:
        """Return the version from which an unfinished rollback started, or None."""
        return linked_version(self._undoing)

    def begin_undoing(self, number: int) -> None:
        """Record that a rollback starts, so that repeating it after a crash does not go back twice."""
        self.end_undoing()  # removes a file of that name from another program
        self._undoing.symlink_to(f"{VERSIONS}/{number}")

    def end_undoing(self) -> None:
        """Record that a rollback is finished. The next rollback deletes a record that a power cut has restored."""
        _clear(self._undoing)

    def remove(self, number: int) -> None:
        """Hide a version, atomically. `at_work` deletes it at the end."""
        self.version(number).rename(self._versions / f".{number}.gone-{secrets.token_hex(6)}")

    def _make(self) -> None:
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder: choose another path")
        make_folder(self.folder)
        strangers = [child.name for child in self.folder.iterdir() if not child.name.startswith(".")]
        if strangers and not self._versions.is_dir():
            if not self._is_site:
                raise UsageError(
                    f"{self.folder} contains {min(strangers)} and no installed versions: choose a new folder"
                )
            _clear(self._versions)
        make_folder(self._versions)

    def _foreign(self) -> UsageError:
        return UsageError(f"{self.current} is not a link to a version in {self._versions}: choose another folder")

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
        # The record of a current version that is missing leads back to the version before it.
        is_current = number == str(linked_version(self.current))
        return is_version(number) and not is_current and not os.path.lexists(self._versions / number)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Convert an OSError to an EdgecnnError with a one-line message."""
        try:
            yield
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            reason = f"{where}{error.strerror or error} (errno {error.errno})"
            number = linked_version(self.current)
            current = f"{self.current} points to version {number}" if number else "no version is current"
            raise EdgecnnError(f"cannot change {self.folder}: {reason}; {current}") from error


def _point(link: Path, target: str) -> None:
    """Point a link to another target, atomically."""
    if link.is_dir() and not link.is_symlink():
        _clear(link)  # a link cannot replace a folder
    with replacing(link) as new:
        new.symlink_to(target)


def _clear(path: Path) -> None:
    """Remove a file, a link or a folder of one of the names above, if it exists. `at_work` deletes a folder later."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f".{path.name.lstrip('.')}.gone-{secrets.token_hex(6)}"))
    elif os.path.lexists(path):  # on a read-only file system, deleting a missing file fails too
        path.unlink()
