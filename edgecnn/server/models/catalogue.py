"""Finds the bundles to serve and their names, without opening a bundle and so without NumPy.

A model is one bundle, a folder of versions (bundles in numbered subfolders, of which the highest number is served), or
a site of `edgecnn install`, of which the current bundle is served, under the number with which it is installed.

In a folder of versions, bundles without a number, such as copies, are ignored. A folder that the user passes may also
contain different bundles, of which some have a number as folder name. It counts as versions only if a numbered bundle
has the same name in its manifest as another bundle. Both decisions cause a warning.
"""

import contextlib
import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.bundle.finding import (
    CURRENT,
    LARGEST_MANIFEST,
    MANIFEST,
    VERSIONS,
    is_bundle,
    is_site,
    linked_version,
    mending,
    no_bundles,
    signature_beside,
    versions_in,
)
from edgecnn.bundle.names import is_name, is_version, replace_invalid
from edgecnn.errors import UsageError

DEFAULT = Path("exported")
"""The folder that is served by default."""

ONLY_VERSION = 1
"""The version of a bundle that is neither in a folder of versions nor the current one of a site."""


@dataclass(frozen=True)
class Source:
    """Where a model is on the disk."""

    name: str
    path: Path  # of its bundle, or of the folder of its versions
    has_versions: bool = False
    warning: str = ""  # set if the path is ambiguous


@dataclass(frozen=True)
class Handoff:
    """The state of a model for a restarted worker."""

    name: str
    tensors: tuple[str, ...] = ()  # input and output of the last version; new versions must have the same
    is_unloaded: bool = False  # a client has unloaded it


@dataclass(frozen=True)
class StoredVersion:
    """One version of a model on the disk; `signed` includes the bundle's signature file in `signature`."""

    number: int
    path: Path
    signed: bool

    @functools.cached_property
    def signature(self) -> tuple[str, ...]:
        """Number of the version and a line per file; differs for another or an incomplete bundle. Cached."""
        return str(self.number), *_signature(self.path, self.signed)


def find_sources(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Return the models at some paths, by default in `./exported`, including damaged bundles.

    Raises:
        UsageError: no model was found, or two have the same name.
    """
    hint = "" if paths else f"; pass a BUNDLE or FOLDER, since the default is ./{DEFAULT}"
    found = {
        Path(os.path.realpath(source.path)): source for path in paths or [DEFAULT] for source in _sources(path, hint)
    }
    named: dict[str, Source] = {}
    for source in found.values():
        if named.setdefault(source.name, source) is not source:
            first = named[source.name].path
            raise UsageError(f"{first} and {source.path} are both named {source.name!r}: serve one of them")
    return tuple(found.values())


def candidates(source: Source, *, signed: bool = False) -> list[StoredVersion]:
    """Return the versions of a model on the disk now, the highest number first."""
    if not source.has_versions:
        if source.path.name == CURRENT and is_site(source.path.parent):
            # `current` is read once, since it may change while the bundle is being opened. It is also tried if it leads
            # to nothing: the error names the damage.
            number = linked_version(source.path)
            path = source.path if number is None else source.path.parent / VERSIONS / str(number)
            return [StoredVersion(number or ONLY_VERSION, Path(os.path.realpath(path)), signed)]
        bundle = Path(os.path.realpath(source.path))  # `resolve` raises on a link to itself
        return [StoredVersion(ONLY_VERSION, bundle, signed)] if _stands(bundle) else []
    numbered = sorted(((int(path.name), path) for path in _versions(source.path)), reverse=True)
    return [StoredVersion(number, path, signed) for number, path in numbered]


def served_name(bundle: Path) -> str:
    """Return the name under which a bundle is served: from its manifest, else from its folder."""
    return name_of(bundle) or _nameable(bundle)


def name_of(bundle: Path) -> str | None:
    """Return the name in a bundle's manifest; None if it cannot be read."""
    try:
        with (bundle / MANIFEST).open("rb") as file:
            document = json.loads(file.read(LARGEST_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return None
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and is_name(name) else None


def _sources(path: Path, hint: str) -> Iterator[Source]:
    """Return the models at one path, or in its subfolders.

    Raises:
        UsageError: no model was found.
    """
    own = _source(path, is_named=True)
    found = [own] if own else [source for child in _children(path) if (source := _source(child))]
    numbered = [place for place, source in enumerate(found) if is_version(source.path.name)]
    if not own and numbered and not found[numbered[0]].has_versions:
        first = found[numbered[0]]
        warning = f"{path} is served as a folder of bundles, not as versions of one model: some have no number"
        found[numbered[0]] = replace(first, warning=first.warning or warning)
    if not found:
        raise UsageError(no_bundles(path, f"folders with {MANIFEST}, or with numbered versions{hint}"))
    yield from found


def _stands(bundle: Path, *, unreadable: bool = False) -> bool:
    """Return whether a path is a bundle, or `unreadable` if it cannot be read.

    An unreadable numbered folder counts as a version, which is then rejected: the server must not fall back to an older
    version because of a disk error or a missing permission.
    """
    try:
        return is_bundle(bundle)
    except OSError:
        return unreadable


def _source(path: Path, *, is_named: bool = False) -> Source | None:
    if _stands(path):
        return Source(served_name(path), path)
    if is_site(path):
        return _site(path)
    bundles = [child for child in _children(path) if _stands(child)]
    numbered = [child for child in bundles if is_version(child.name)]
    others = [child for child in bundles if child not in numbered]
    if not numbered or (others and is_named and not _are_versions(numbered, bundles)):
        return None
    left_out = ", ".join(child.name for child in others)
    warning = f"{path} is a folder of versions: {left_out} is ignored: its name is not a number" if others else ""
    return Source(_nameable(path), path, has_versions=True, warning=warning)


def _site(path: Path) -> Source:
    """Return the model of a site, also if `current` is damaged: the server then must not choose a version itself."""
    current = path / CURRENT
    installed = (path / VERSIONS / str(number) for number in reversed(versions_in(path)))
    name = next((name for bundle in (current, *installed) if (name := name_of(bundle))), None)
    is_copy = _stands(current) and not current.is_symlink()
    warning = f"{current} is a copy and not a link{mending(current)}" if is_copy else ""
    return Source(name or _nameable(path), current, warning=warning)


def _are_versions(numbered: Sequence[Path], bundles: Sequence[Path]) -> bool:
    """Return whether a numbered bundle has the same name as another one, so that both belong to one model."""
    names = Counter(served_name(bundle) for bundle in bundles)
    return any(names[served_name(bundle)] > 1 for bundle in numbered)


def _versions(path: Path) -> Iterator[Path]:
    return (child for child in _children(path) if is_version(child.name) and _stands(child, unreadable=True))


def _children(path: Path) -> list[Path]:
    """Return the entries of a folder without hidden ones, which may be incomplete."""
    try:
        return sorted(child for child in path.iterdir() if not child.name.startswith("."))
    except OSError:
        return []


def _signature(bundle: Path, signed: bool) -> tuple[str, ...]:
    try:
        files = sorted((file.name, file.lstat()) for file in bundle.iterdir())
    except OSError:
        return ()
    if signed:
        beside = signature_beside(bundle)
        with contextlib.suppress(OSError):  # the file does not exist yet
            files.append((f"../{beside.name}", beside.stat()))
    # A program can set mtime, but not ctime.
    return tuple(f"{name} {at.st_ino} {at.st_size} {at.st_mtime_ns} {at.st_ctime_ns}" for name, at in files)


def _nameable(path: Path) -> str:
    """Return a valid model name made from the last part of a path."""
    word = path.name if path.name not in ("", "..") else path.resolve().name
    return replace_invalid(word)
