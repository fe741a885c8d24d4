"""Install a bundle as a new version of a site, verify it, make it current, and roll back.

After a crash the old or the new version is current and complete. Running the same command again finishes the
operation. The caller provides the verification, so that this module needs no engine.
"""

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.archive.copying import Incoming, files_of, place
from edgecnn.archive.layout import KEEP, Layout
from edgecnn.archive.signature import Signature, read_signature
from edgecnn.archive.unpacking import open_archive
from edgecnn.bundle.finding import linked_version, other_than_bundle, signature_beside
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, BundleNotFound, EdgecnnError


@dataclass(frozen=True)
class Installed:
    """Result of an installation.

    Attributes:
        current: the link to the bundle.
        version: the bundle's version.
        previous: the version that a rollback would return to; None if there is none, or it is damaged.
        changed: whether `current` has changed: another version was current before, or the link was damaged.
        name: name of the bundle.
        bundle: digest of the bundle.
        signed: whether it has a signature.
        removed: the deleted versions.
        self_test: the return value of `prove`; None if it was not called.
    """

    current: Path
    version: int
    previous: int | None
    changed: bool
    name: str
    bundle: str
    signed: bool
    removed: tuple[int, ...]
    self_test: Any = None


@dataclass(frozen=True)
class RolledBack:
    """Result of a rollback. `undone` is the version that was current before. For other fields see `Installed`."""

    current: Path
    version: int
    undone: int
    previous: int | None
    name: str
    bundle: str


def install(
    source: Path,
    folder: Path,
    *,
    signature: Path | None = None,
    keep: int = KEEP,
    check: Callable[[Bundle, Signature], object] | None = None,
    prove: Callable[[Bundle], object] | None = None,
) -> Installed:
    """Copy a bundle into a site and make it current.

    Args:
        source: a bundle or an archive.
        folder: the site, see `layout`; it is created if missing.
        signature: the signature file; None for the one next to `source`, if it exists.
        keep: number of versions to keep, the highest ones; the current one and the one before it are always kept.
        check: called first with the bundle and its signature, which is then required; raises EdgecnnError if the
            signature is invalid. See `openssf.signature_check`.
        prove: called with the copy before it becomes current; raises EdgecnnError if the proof fails. See
            `edgecnn.runtime.verification.verify.prove`.

    Raises:
        BundleError: the bundle is not intact; nothing has changed.
        SignatureMissing, SignatureInvalid: the signature file cannot be read; nothing has changed.
        UsageError: the folder is not a site.
        EdgecnnError: writing failed, or `check` or `prove` failed; the current version is unchanged.
    """
    layout = Layout(folder)
    # The signature of NAME or NAME.tar is NAME.sig.
    beside = signature_beside(source if source.is_dir() else source.with_suffix(""))
    signed = None
    if signature is not None or check is not None or os.path.lexists(beside):
        signed = read_signature(signature or beside, bundle=source)
    shown: object = None

    def admit(bundle: Bundle, *, is_current: bool = False) -> None:
        nonlocal shown
        if check is not None and signed is not None:
            check(bundle, signed)
        if prove is not None and not is_current:
            shown = prove(bundle)

    with _opened(source) as incoming, layout.at_work(create=True):
        layout.end_undoing()  # this installation supersedes an interrupted rollback
        linked = linked_version(layout.current)
        before = layout.repaired_number()
        current = _intact(layout, before, incoming.digest)
        number = before
        if current is None or number is None:
            number, current = _standing(layout, incoming, before, admit)
        else:
            admit(current, is_current=True)
        if signed is not None:  # before the switch, because a server may require the signature
            layout.put_signature(number, signed.content)
        if number != before and before is not None:
            layout.record_before(number, before if _is_intact(layout, before) else _target(layout, before))
        if number != linked:
            layout.switch(number)
        removed = _prune(layout, number, keep)
        return Installed(
            current=layout.current,
            version=number,
            previous=_target(layout, number),
            changed=number != linked,
            name=current.manifest.name,
            bundle=current.digest,
            signed=signed is not None,
            removed=removed,
            self_test=shown,
        )


def rollback(folder: Path) -> RolledBack:
    """Make the version current that was current when the present one was installed.

    Raises:
        BundleError: that version is not intact; nothing has changed.
        EdgecnnError: that version does not exist, or writing failed.
    """
    layout = Layout(folder)
    with layout.at_work(create=False):
        current = layout.current_number()
        if current is None:
            raise EdgecnnError(f"no bundle is installed in {folder}: install one with `edgecnn install`")
        undone = layout.undoing()
        if undone is None or undone == current:  # otherwise a crashed rollback has already switched
            undone = current
            _go_back(layout, current)
        layout.end_undoing()
        version = layout.current_number() or current
        bundle = open_bundle(layout.version(version))
        return RolledBack(
            current=layout.current,
            version=version,
            undone=undone,
            previous=_target(layout, version),
            name=bundle.manifest.name,
            bundle=bundle.digest,
        )


def _go_back(layout: Layout, current: int) -> None:
    before = layout.number_before(current)
    if before is None:
        raise EdgecnnError(
            f"cannot roll back in {layout.folder}: no version before version {current} is kept; install one: "
            f"edgecnn install BUNDLE --to {shlex.quote(str(layout.folder))}"
        )
    try:
        open_bundle(layout.version(before))
    except BundleError as error:
        error.args = (f"cannot roll back from version {current} to version {before}: {error}",)
        raise
    if layout.undoing() is None:
        layout.begin_undoing(current)
    layout.switch(before)


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[Incoming]:
    if not source.exists():
        raise BundleNotFound(f"expected a bundle or an archive, found nothing at {source}: check the path")
    if source.is_dir() or (source.suffix != ".tar" and other_than_bundle(source)):
        bundle = open_bundle(source)
        yield Incoming(bundle.path, bundle.digest, files_of(bundle))
    else:
        with open_archive(source) as archive:
            yield archive


def _standing(
    layout: Layout, incoming: Incoming, current: int | None, admit: Callable[[Bundle], object]
) -> tuple[int, Bundle]:
    """Return an admitted version of the bundle: one left by a crash or a rollback, or a new one.

    A version that a rollback may return to is not reused, because its previous version is already recorded.
    """
    numbers = layout.numbers()
    for number in sorted(set(numbers) - set(layout.line(current)), reverse=True):
        bundle = _intact(layout, number, incoming.digest)
        if bundle is not None:
            admit(bundle)
            return number, bundle
    number = max((*numbers, current or 0)) + 1
    return number, place(incoming, layout.version(number), prove=admit)


def _intact(layout: Layout, number: int | None, digest: str) -> Bundle | None:
    """Return a version if it is intact and has this digest, else None."""
    if number is None or layout.digest(number) != digest:
        return None
    try:
        return open_bundle(layout.version(number))
    except BundleError:
        return None


def _is_intact(layout: Layout, number: int) -> bool:
    digest = layout.digest(number)
    return digest is not None and _intact(layout, number, digest) is not None


def _target(layout: Layout, number: int) -> int | None:
    """Return the version that a rollback from a version would return to; None if there is none, or it is damaged."""
    before = layout.number_before(number)
    return before if before is not None and _is_intact(layout, before) else None


def _prune(layout: Layout, current: int, keep: int) -> tuple[int, ...]:
    """Delete the lowest versions. A failed deletion is tried again by the next installation."""
    numbers = layout.numbers()
    kept = {*numbers[-keep:], *layout.line(current)[:2]}
    removed = []
    for number in numbers:
        if number not in kept:
            with contextlib.suppress(OSError):
                layout.remove(number)
                removed.append(number)
    return tuple(removed)
