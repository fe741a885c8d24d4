"""Install a bundle on a device beside the one in use, switch to it when it has proven itself, and go back.

A crash at any moment leaves a whole old or a whole new version current; the same command, given again, finishes what
was begun. Which engine proves a bundle is the caller's to say: nothing of an engine is known here.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.archive.copying import Incoming, files_of, place
from edgecnn.archive.layout import KEEP, Layout
from edgecnn.archive.signature import Signature, read_signature
from edgecnn.archive.unpacking import open_archive
from edgecnn.bundle.finding import signature_beside
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, BundleNotFound, EdgecnnError


@dataclass(frozen=True)
class Installed:
    """What an install has done.

    Attributes:
        current: the link to the bundle.
        version: number of the bundle's version.
        previous: the version that a rollback would go to; None if there is none.
        changed: whether another version was current before.
        name: of the bundle.
        bundle: its digest.
        signed: whether it has a signature.
        removed: the versions that were deleted.
        self_test: what `prove` returned; None if it was not called.
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
    """What a rollback has done; `undone` is the version that was current before, the rest is as in `Installed`."""

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
    """Copy a bundle into a folder of versions and make it current.

    Args:
        source: a bundle, or an archive of one.
        folder: see `layout`; made where there is none.
        signature: its file; None for the one beside `source`, where there is one.
        keep: how many versions stay, the highest; the current one and the one before it always do.
        check: called first with the bundle and its signature, which is required then; raises EdgecnnError if the
            signature is not valid. See `openssf.signature_check`.
        prove: called with the copy before it is made current; raises EdgecnnError if the proof does not hold. See
            `edgecnn.runtime.verification.verify.prove`.

    Raises:
        BundleError: it is not intact; nothing has changed then.
        SignatureMissing, SignatureInvalid: the signature's file cannot be read; nothing has changed then.
        UsageError: the folder is no place for versions.
        EdgecnnError: the system refused, or `check` or `prove` did; what was current still is.
    """
    layout = Layout(folder)
    # Beside NAME and NAME.tar it is called NAME.sig.
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
        layout.end_undoing()  # a rollback that died is over: another version is asked for now
        before = layout.current_number()
        current = _intact(layout, before, incoming.digest)
        number = before
        if current is None or number is None:
            number, current = _standing(layout, incoming, before, admit)
        else:
            admit(current, is_current=True)
        if signed is not None:  # before the switch: a server may require it
            layout.put_signature(number, signed.content)
        if number != before:
            layout.record_before(number, before)
            layout.switch(number)
        removed = _prune(layout, number, keep)
        return Installed(
            current=layout.current,
            version=number,
            previous=layout.number_before(number),
            changed=number != before,
            name=current.manifest.name,
            bundle=current.digest,
            signed=signed is not None,
            removed=removed,
            self_test=shown,
        )


def rollback(folder: Path) -> RolledBack:
    """Make the version current that was so when the present one was installed.

    Raises:
        BundleError: that one is not intact; nothing has changed then.
        EdgecnnError: there is none, or the system refused.
    """
    layout = Layout(folder)
    with layout.at_work(create=False):
        current = layout.current_number()
        if current is None:
            raise EdgecnnError(f"nothing is installed in {folder}: `edgecnn install` puts a bundle there")
        undone = layout.undoing()
        if undone is None or undone == current:  # else the switch was made, and the crash came after it
            undone = current
            _go_back(layout, current)
        layout.end_undoing()
        version = layout.current_number() or current
        bundle = open_bundle(layout.version(version))
        return RolledBack(
            current=layout.current,
            version=version,
            undone=undone,
            previous=layout.number_before(version),
            name=bundle.manifest.name,
            bundle=bundle.digest,
        )


def _go_back(layout: Layout, current: int) -> None:
    before = layout.number_before(current)
    if before is None:
        raise EdgecnnError(
            f"nothing to roll back to in {layout.folder}: none from before version {current} is kept; `install` one"
        )
    open_bundle(layout.version(before))
    if layout.undoing() is None:
        layout.begin_undoing(current)
    layout.switch(before)


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[Incoming]:
    if not source.exists():
        raise BundleNotFound(f"{source} is neither a bundle nor an archive of one: there is nothing")
    if source.is_dir():
        bundle = open_bundle(source)
        yield Incoming(bundle.path, bundle.digest, files_of(bundle))
    else:
        with open_archive(source) as archive:
            yield archive


def _standing(
    layout: Layout, incoming: Incoming, current: int | None, admit: Callable[[Bundle], object]
) -> tuple[int, Bundle]:
    """Return an admitted version of the bundle: one that a crash or a rollback has left, or a new one.

    One that a rollback may lead to is left as it is: what was current before it is written there already.
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
    """Open a version if it is that very bundle, and whole."""
    if number is None or layout.digest(number) != digest:
        return None
    try:
        return open_bundle(layout.version(number))
    except BundleError:
        return None


def _prune(layout: Layout, current: int, keep: int) -> tuple[int, ...]:
    """Delete the lowest versions; one that cannot be deleted is tried again the next time."""
    numbers = layout.numbers()
    kept = {*numbers[-keep:], *layout.line(current)[:2]}
    removed = []
    for number in numbers:
        if number not in kept:
            with contextlib.suppress(OSError):
                layout.remove(number)
                removed.append(number)
    return tuple(removed)
