"""Finds the bundles to serve and their names, without opening a bundle and so without NumPy.

A model is one bundle, a folder of versions (bundles in numbered subfolders, of which the highest number is served), or
a folder that `edgecnn install` keeps, of which the current bundle is served.

Bundles beside numbered ones, such as copies, are left out. Only a folder that the user names may be a folder of
bundles, one of which has a number as its name: it is one unless a numbered bundle has the same name in its manifest as
another bundle. Both decisions are reported.
"""

import contextlib
import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.bundle.finding import CURRENT, LARGEST_MANIFEST, MANIFEST, VERSIONS, is_bundle, signature_beside
from edgecnn.bundle.names import is_name, is_version, replace_invalid
from edgecnn.errors import UsageError

DEFAULT = Path("exported")
"""The folder that is served by default."""

ONLY_VERSION = "1"
"""The version of a bundle whose path has no number."""


@dataclass(frozen=True)
class Source:
    """Where a model is on the disk."""

    name: str
    path: Path  # of its bundle, or of the folder of its versions
    has_versions: bool = False
    doubt: str = ""  # a warning if the path may have been meant otherwise


@dataclass(frozen=True)
class Held:
    """The state of a model for a restarted worker."""

    name: str
    tensors: tuple[str, ...] = ()  # input and output of the last version; new versions must have the same
    is_unloaded: bool = False  # a client has unloaded it


@dataclass(frozen=True)
class Candidate:
    """One version of a model on the disk; `signed` includes the bundle's signature file in `signature`."""

    number: str
    path: Path
    signed: bool

    @functools.cached_property
    def signature(self) -> tuple[str, ...]:
        """The version's number and a line for each file, which differ for another or a half-copied bundle; cached."""
        return self.number, *_signature(self.path, self.signed)


def find_sources(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Return the models at some paths, by default in `./exported`, including damaged bundles.

    Raises:
        UsageError: there is none, or two have the same name.
    """
    hint = "" if paths else f"; without a BUNDLE or FOLDER the bundles in ./{DEFAULT} are served"
    found = {source.path.resolve(): source for path in paths or [DEFAULT] for source in _sources(path, hint)}
    named: dict[str, Source] = {}
    for source in found.values():
        if named.setdefault(source.name, source) is not source:
            first = named[source.name].path
            raise UsageError(f"{first} and {source.path} are both named {source.name!r}: serve one of them")
    return tuple(found.values())


def candidates(source: Source, *, signed: bool = False) -> list[Candidate]:
    """Return the versions of a model on the disk now, the highest number first."""
    if not source.has_versions:
        # Where `current` leads may change while a bundle is being opened: one bundle is opened, not halves of two.
        bundle = source.path.resolve()
        return [Candidate(ONLY_VERSION, bundle, signed)] if _stands(bundle) else []
    numbered = sorted(((int(path.name), path) for path in _versions(source.path)), reverse=True)
    return [Candidate(str(number), path, signed) for number, path in numbered]


def served_name(bundle: Path) -> str:
    """Return the name under which a bundle is served: that in its manifest, else one made from its folder's."""
    return name_of(bundle) or _nameable(bundle)


def name_of(bundle: Path) -> str | None:
    """Return the name in a bundle's manifest; None where it cannot be read."""
    try:
        with (bundle / MANIFEST).open("rb") as file:
            document = json.loads(file.read(LARGEST_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return None
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and is_name(name) else None


def _sources(path: Path, hint: str) -> Iterator[Source]:
    """Return the models at one path, or in the folders in it.

    Raises:
        UsageError: there is none.
    """
    own = _source(path, is_named=True)
    found = [own] if own else [source for child in _children(path) if (source := _source(child))]
    numbered = [place for place, source in enumerate(found) if is_version(source.path.name)]
    if not own and numbered and not found[numbered[0]].has_versions:
        first = found[numbered[0]]
        doubt = f"{path} is served as a folder of bundles, not of versions of one model: not all of them are numbered"
        found[numbered[0]] = replace(first, doubt=first.doubt or doubt)
    if not found:
        raise UsageError(
            f"{path} is neither a bundle nor a folder of bundles: expected folders with {MANIFEST}, "
            f"or with numbered versions{hint}"
        )
    yield from found


def _stands(bundle: Path, *, unreadable: bool = False) -> bool:
    """Return whether a path is a bundle, or `unreadable` if it cannot be read.

    An unreadable numbered folder counts as a version, which is then refused: the server must not fall back to an older
    version because a disk has failed or a permission is missing.
    """
    try:
        return is_bundle(bundle)
    except OSError:
        return unreadable


def _source(path: Path, *, is_named: bool = False) -> Source | None:
    if _stands(path):
        return Source(served_name(path), path)
    current = path / CURRENT
    if current.is_symlink() and (path / VERSIONS).is_dir():
        return Source(name_of(current) or _nameable(path), current)
    bundles = [child for child in _children(path) if _stands(child)]
    numbered = [child for child in bundles if is_version(child.name)]
    others = [child for child in bundles if child not in numbered]
    if not numbered or (others and is_named and not _are_versions(numbered, bundles)):
        return None
    left_out = ", ".join(child.name for child in others)
    doubt = f"{path} is a folder of versions: {left_out} is left out, since its name is no number" if others else ""
    return Source(_nameable(path), path, has_versions=True, doubt=doubt)


def _are_versions(numbered: Sequence[Path], bundles: Sequence[Path]) -> bool:
    """Return whether a numbered bundle has the same name as another, so that both cannot be different models."""
    names = Counter(served_name(bundle) for bundle in bundles)
    return any(names[served_name(bundle)] > 1 for bundle in numbered)


def _versions(path: Path) -> Iterator[Path]:
    return (child for child in _children(path) if is_version(child.name) and _stands(child, unreadable=True))


def _children(path: Path) -> list[Path]:
    """Return the entries of a folder without the hidden ones, which are being written."""
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
        with contextlib.suppress(OSError):  # there is none yet
            files.append((f"../{beside.name}", beside.stat()))
    # The time of the last change of any kind is the one that whoever writes a file cannot set.
    return tuple(f"{name} {at.st_ino} {at.st_size} {at.st_mtime_ns} {at.st_ctime_ns}" for name, at in files)


def _nameable(path: Path) -> str:
    """Return a model's name made from the last part of a path."""
    word = path.name if path.name not in ("", "..") else path.resolve().name
    return replace_invalid(word)
