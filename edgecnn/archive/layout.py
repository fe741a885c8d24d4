"""The folder that `edgecnn install` keeps on a device, and the steps that change it: each is one rename or one link.

::

    DIR/
    ├── current -> versions/4      what is served: `edgecnn serve DIR` follows it
    ├── versions/
    │   ├── 2/  3/  4/             whole bundles; numbers only grow
    │   └── 4.sig                  the signature of one that was signed
    └── previous/
        ├── 3 -> ../versions/2     what was current when 3 was installed: where a rollback from 3 goes
        └── 4 -> ../versions/2     here 3 had been rolled back before 4 came

What was current before belongs to a version and is written before the switch to it. So the switch alone decides what is
current and where a rollback would go, and numbers need not tell an order of time. No clock is read.
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
"""Versions that stay installed by default."""

_LEFTOVER = re.compile(r"\.(current|[1-9][0-9]*(?:\.sig)?)\.(new|gone)-[0-9a-f]{12}")


class Layout:
    """A folder of installed versions; those who change it hold `at_work`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / CURRENT
        self._versions = folder / VERSIONS
        self._previous = folder / "previous"
        self._undoing = folder / ".rolling-back"

    @contextlib.contextmanager
    def at_work(self, *, create: bool) -> Iterator[None]:
        """Hold the folder's lock while the block runs, and delete what a crash has left; may create the folder.

        Raises:
            UsageError: the folder holds other things than versions, or is a bundle.
            EdgecnnError: there is no such folder, or the system refused.
        """
        if is_bundle(self.folder):
            raise UsageError(f"{self.folder} is a bundle: name the folder that holds `current` and its versions")
        check_outside_bundles(self.folder)
        with self._telling():
            if create:
                self._make()
            elif not self._versions.is_dir():
                raise EdgecnnError(f"nothing is installed in {self.folder}: expected what `edgecnn install` makes")
            with locked(self.folder):
                self._sweep()
                yield
                self._sweep()

    def current_number(self) -> int | None:
        """Return the current version, if any; raises `UsageError` if `current` is not what `edgecnn install` makes."""
        if not os.path.lexists(self.current):
            return None
        number = _led_to(self.current)
        if number is None:
            raise UsageError(f"{self.current} is not a link to a version in {self._versions}: name another folder")
        return number

    def number_before(self, number: int) -> int | None:
        """Return what was current when a version was installed; None where nothing was, or it is not kept any more."""
        before = _led_to(self._previous / str(number))
        return before if before is not None and is_bundle(self.version(before)) else None

    def numbers(self) -> list[int]:
        """Return the versions that stand here, the lowest first."""
        return sorted(int(path.name) for path in self._versions.iterdir() if is_version(path.name))

    def version(self, number: int) -> Path:
        """Return the folder of a version."""
        return self._versions / str(number)

    def digest(self, number: int) -> str | None:
        """Return the digest of a version, by its manifest alone; None where it has none that can be read."""
        try:
            return digest_file(self.version(number) / MANIFEST)
        except OSError:
            return None

    def line(self, number: int | None) -> list[int]:
        """Return a version and those that rollbacks from it lead to, in this order."""
        found: list[int] = []
        while number is not None and number not in found:
            found.append(number)
            number = self.number_before(number)
        return found

    def switch(self, number: int) -> None:
        """Make a version current, in one step."""
        _point(self.current, f"versions/{number}")

    def record_before(self, number: int, before: int | None) -> None:
        """Note what is current while a version is being installed."""
        place = self._previous / str(number)
        if before is not None:
            make_folder(self._previous)
            _point(place, f"../versions/{before}")
        else:
            place.unlink(missing_ok=True)

    def put_signature(self, number: int, content: bytes) -> None:
        """Put a signature beside a version, in one step."""
        place = signature_beside(self.version(number))
        if place.is_file() and place.read_bytes() == content:
            return
        with replacing(place) as new:
            write_new_file(new, (content,))

    def undoing(self) -> int | None:
        """Return the version from which a rollback has begun that did not come to its end."""
        return _led_to(self._undoing)

    def begin_undoing(self, number: int) -> None:
        """Note that a rollback begins, so that one that is repeated after a crash does not go back twice."""
        self.end_undoing()  # only a stranger's can be there
        self._undoing.symlink_to(f"versions/{number}")

    def end_undoing(self) -> None:
        """Note that a rollback has come to its end; were the note back after a power cut, it would find this done."""
        if os.path.lexists(self._undoing):  # a read-only file system refuses to delete what is not there, too
            self._undoing.unlink()

    def remove(self, number: int) -> None:
        """Take a version out of sight, in one step; what is left of it is deleted when the work is done."""
        self.version(number).rename(self._versions / f".{number}.gone-{secrets.token_hex(6)}")

    def _make(self) -> None:
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder: name another place")
        make_folder(self.folder)
        strangers = [child.name for child in self.folder.iterdir() if not child.name.startswith(".")]
        if strangers and not self._versions.is_dir():
            raise UsageError(f"{self.folder} holds {min(strangers)} and no installed versions: name a new folder")
        make_folder(self._versions)

    def _sweep(self) -> None:
        """Delete what nobody but a holder of the lock can have made; what cannot be deleted hurts nobody."""
        for place in (self.folder, self._versions, self._previous):
            with contextlib.suppress(OSError):
                for leftover in [path for path in place.iterdir() if self._is_leftover(path)]:
                    if leftover.is_dir() and not leftover.is_symlink():
                        shutil.rmtree(leftover)
                    else:
                        leftover.unlink()

    def _is_leftover(self, path: Path) -> bool:
        """Whether a crash or `remove` has left it: half-made, out of sight, or what belonged to a version once."""
        if _LEFTOVER.fullmatch(path.name):
            return True
        number = {self._previous: path.name, self._versions: path.name.removesuffix(".sig")}.get(path.parent, "")
        return is_version(number) and not os.path.lexists(self._versions / number)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell a refusal of the system in one line."""
        try:
            yield
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            reason = f"{where}{error.strerror or error} (errno {error.errno})"
            current = f"{self.current} leads to {number}" if (number := _led_to(self.current)) else "nothing is current"
            raise EdgecnnError(f"cannot change {self.folder}: {reason}; {current}") from error


def _point(link: Path, target: str) -> None:
    """Let a link lead elsewhere, in one step."""
    with replacing(link) as new:
        new.symlink_to(target)


def _led_to(link: Path) -> int | None:
    """Return the version that one of our links leads to; None where it is no such link."""
    try:
        target = link.readlink().as_posix()
    except OSError:
        return None
    folder, _, number = target.rpartition("/")
    return int(number) if folder in (VERSIONS, f"../{VERSIONS}") and is_version(number) else None
