"""Which bundles a server serves, and under which names: found without opening one, so without NumPy.

A model stands on the disk as one bundle, or as a folder of versions: subfolders that are numbered, each of them a
bundle, of which the highest number is served; or what `edgecnn install` keeps, of which the current one is.

Where other bundles stand beside numbered ones, these are versions still, and the others (a copy, say) are left out.
Only a folder that was named itself may be one of bundles, as `exported` is, one of which has a number for a name: it is
where no numbered one has the name of another in its manifest. Whichever it is taken for, that is told.
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
"""What is served where nothing is named."""

ONLY_VERSION = "1"
"""A bundle is sealed: where no number stands in its path, it is the one version."""


@dataclass(frozen=True)
class Source:
    """Where a model stands.

    Attributes:
        name: under which it is served.
        path: of its bundle, or of the folder of its versions.
        has_versions: which of the two.
        doubt: what else it may have been meant to be, as a sentence for people; nothing where there is none.
    """

    name: str
    path: Path
    has_versions: bool = False
    doubt: str = ""


@dataclass(frozen=True)
class Held:
    """What a worker that is started again must know of a model, to serve what the one before it has served.

    Attributes:
        name: of the model.
        tensors: what its clients rely on, in words: what is taken and given by the version that is served, or was.
        is_unloaded: whether it is not to be served, since a client has said so.
    """

    name: str
    tensors: tuple[str, ...] = ()
    is_unloaded: bool = False


@dataclass(frozen=True)
class Candidate:
    """What stands there of a model now.

    Attributes:
        number: of the version.
        path: of the bundle.
        signed: whether it matters who made it.
    """

    number: str
    path: Path
    signed: bool

    @functools.cached_property
    def signature(self) -> tuple[str, ...]:
        """What tells it from another, or from itself half copied, when this is asked first.

        Its number, a line for each of its files, and for the one beside it that says who made it, where that matters.
        """
        return self.number, *_signature(self.path, self.signed)


def find_sources(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Return the models that paths stand for; without any, those of `./exported`.

    A bundle that is damaged is among them: what is wrong with it is said when it is opened, and others are served.

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
    """Return what may be served of a model now, best first: the highest number, or the one bundle.

    Args:
        source: the model.
        signed: whether it matters who made a bundle: it is another one then when that is told otherwise, or at last.
    """
    if not source.has_versions:
        # Where `current` leads may change while a bundle is being opened: one bundle is opened, not halves of two.
        bundle = source.path.resolve()
        return [Candidate(ONLY_VERSION, bundle, signed)] if _stands(bundle) else []
    numbered = sorted(((int(path.name), path) for path in _versions(source.path)), reverse=True)
    return [Candidate(str(number), path, signed) for number, path in numbered]


def served_name(bundle: Path) -> str:
    """Return the name under which a bundle is served; a damaged one's is its folder's, as far as that can be one."""
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
    """Return what one path stands for: a bundle, a folder of versions, an installed one, or such folders in it.

    Raises:
        UsageError: it is none of them.
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
    """Whether a bundle is there.

    What cannot be read may be anybody's, such as `lost+found`; where only a version can stand it counts as one, which
    is then refused: what is served does not fall back to an older one because a disk or a right has failed.
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
    """Whether bundles with numbers can be nothing else: two of one name cannot be served beside each other."""
    names = Counter(served_name(bundle) for bundle in bundles)
    return any(names[served_name(bundle)] > 1 for bundle in numbered)


def _versions(path: Path) -> Iterator[Path]:
    return (child for child in _children(path) if is_version(child.name) and _stands(child, unreadable=True))


def _children(path: Path) -> list[Path]:
    """Return what stands in a folder, but for what is hidden: it is being written."""
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
    """Return a name for what stands at a path: the last word of the path as it was written, if it has one."""
    word = path.name if path.name not in ("", "..") else path.resolve().name
    return replace_invalid(word)
