"""Find bundles by their files. Imports only the standard library, so that listing bundles needs little memory."""

import itertools
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from edgecnn.bundle.formats import SUFFIXES
from edgecnn.bundle.names import is_version
from edgecnn.errors import BundleNotFound, UsageError
from edgecnn.files.folder import check_output
from edgecnn.hints import did_you_mean

MANIFEST, MODEL, SELF_TEST, PROOF = "manifest.json", "model.onnx", "self_test.npz", "proof.json"
ACCURATE = "accurate.onnx"
"""Files of a bundle. A folder with a manifest is a bundle; `ACCURATE` is the second graph of a cascade."""

CURRENT, VERSIONS, PREVIOUS = "current", "versions", "previous"
"""The link to the current version of a site, the folder of its versions, and that of its history; see `layout`."""

CHECKPOINT = "checkpoint.json"
"""The file that identifies a checkpoint."""

LARGEST_MANIFEST = 64 << 20
"""Largest size of a manifest in bytes, far above any list of labels."""

_WEIGHTS = (".pth", ".pt", ".pth.tar", ".ckpt", ".safetensors", ".bin")
_LOOKED_AT = 100  # folders that are searched for images
_LONGEST_LINK = 64  # bytes of a link to a version
_COMPARED = 1000  # names in a folder that are compared with a misspelled one


def is_bundle(path: Path) -> bool:
    """Return whether a folder contains a manifest. `open_bundle` checks whether the bundle is intact."""
    return (path / MANIFEST).is_file()


def linked_version(link: Path) -> int | None:
    """Return the version of a site that a link points to; None if it is not a link to a version."""
    try:
        return _version_in(link.readlink().as_posix())
    except OSError:
        return None


def written_version(file: Path) -> int | None:
    """Return the version that a file names, if a file system without links has made it of a link; else None."""
    try:
        if not file.is_file():  # opening a pipe would block
            return None
        with file.open("rb") as opened:
            return _version_in(opened.read(_LONGEST_LINK).decode(errors="replace").strip())
    except OSError:
        return None


def _version_in(target: str) -> int | None:
    folder, _, number = target.rpartition("/")
    return int(number) if folder in (VERSIONS, f"../{VERSIONS}") and is_version(number) else None


def is_site(folder: Path) -> bool:
    """Return whether a folder is a site, even if copying without links has lost `current` and the history."""
    if linked_version(folder / CURRENT) is not None:
        return True
    visible = {name for name in _names_in(folder) if not name.startswith(".")}
    numbered = any(map(is_version, (*_names_in(folder / VERSIONS), *_names_in(folder / PREVIOUS))))
    if not numbered or len(visible & {CURRENT, VERSIONS, PREVIOUS}) > 1:
        return numbered
    # Only `versions` is left, unless it is a model of that name next to other models.
    beside = (_names_in(folder / name) for name in visible - {VERSIONS})
    return VERSIONS in visible and not any(MANIFEST in names or any(map(is_version, names)) for names in beside)


def version_before(site: Path, number: int) -> int | None:
    """Return the version that was current when `number` was installed; None if there was none, or it is deleted."""
    record = site / PREVIOUS / str(number)
    before = linked_version(record) or written_version(record)
    return before if before is not None and is_bundle(site / VERSIONS / str(before)) else None


def versions_in(site: Path) -> list[int]:
    """Return the versions of a site, the lowest first; none if they cannot be read."""
    return sorted(int(name) for name in _names_in(site / VERSIONS) if is_version(name))


def why_not_current(site: Path) -> str | None:
    """Return why the current version of a site is unknown or missing; None if `current` leads to a folder."""
    current = site / CURRENT
    number = linked_version(current)
    if is_bundle(current) or (number is not None and (site / VERSIONS / str(number)).is_dir()):
        return None
    if number is not None:
        return f"{current} points to version {number}, which is missing"
    if not os.path.lexists(current):
        return f"{current} is missing: the site was copied without its links, or is damaged"
    found = "points to nothing that is installed" if current.is_symlink() else "is not a link to a version"
    return f"{current} {found}: the site was copied without its links, or is damaged"


def mending(bundle: Path) -> str:
    """Return the command that mends the bundle of a site, as the end of a message; empty for any other path."""
    try:
        return _mending(bundle)
    except OSError:  # it cannot be read: that is what the message is about
        return ""


def _mending(bundle: Path) -> str:
    if bundle.name == CURRENT and is_site(bundle.parent):
        site, number = bundle.parent, linked_version(bundle)
        installed = [each for each in versions_in(site) if is_bundle(site / VERSIONS / str(each))]
        if number is None and installed:
            named = written_version(bundle)
            chosen = named if named in installed else installed[0] if len(installed) == 1 else "N"
            numbers = f" (N is {', '.join(map(str, installed))})" if chosen == "N" else ""
            source = shlex.quote(str(site / VERSIONS / str(chosen)))
            return f"; choose a version: edgecnn install {source} --to {shlex.quote(str(site))}{numbers}"
    elif bundle.parent.name == VERSIONS and is_version(bundle.name) and is_site(bundle.parent.parent):
        site, number = bundle.parent.parent, int(bundle.name)
    else:
        return ""
    shown = shlex.quote(str(site))
    can_return = number is not None and number == linked_version(site / CURRENT) and version_before(site, number)
    back = f", or return to the version before it: edgecnn rollback {shown}" if can_return else ""
    return f"; install the bundle again: edgecnn install BUNDLE --to {shown}{back}"


def is_checkpoint(path: Path) -> bool:
    """Return whether a folder contains a checkpoint's record. `read_checkpoint` checks whether it is intact."""
    return (path / CHECKPOINT).is_file()


def is_weights(path: Path) -> bool:
    """Return whether the name of a path is one of a weights file."""
    return path.name.lower().endswith(_WEIGHTS)


def is_onnx(path: Path) -> bool:
    """Return whether the name of a path is one of an ONNX file."""
    return path.name.lower().endswith(".onnx")


def other_than_bundle(path: Path) -> str | None:
    """Return what a path is instead of a bundle, and what to do; None if it is a bundle or nothing known.

    A file is recognised by its name, so that a command refuses `model.onnx` before it asks for further options.
    """
    name, shown = path.name.lower(), shlex.quote(str(path))
    if is_checkpoint(path):
        return f"is a checkpoint: export it first: edgecnn export {shown} --out {shlex.quote(f'{path}-fp32')}"
    if path.is_dir():
        return None
    if path.is_file() and is_bundle(path.parent):
        return f"is a file of a bundle: pass its folder, {path.parent}"
    if is_weights(path):
        return f"is a file with weights: export it first: edgecnn export ARCH --weights {shown} --out FOLDER"
    if is_onnx(path):
        return (
            f"is an ONNX graph: import it first: edgecnn import {shown} --out {shlex.quote(str(path.with_suffix('')))}"
        )
    if name.endswith(".tar"):
        return f"is an archive: unpack it first: edgecnn unpack {shown} --out {shlex.quote(str(path.with_suffix('')))}"
    if name.endswith(SUFFIXES):
        return f"is an image: classify it with a bundle: edgecnn predict BUNDLE {shown}"
    return None


def why_not_a_bundle(path: Path) -> str:
    """Return why a path is not a bundle, on one line with the path and what to do."""
    if path.name == CURRENT and is_site(path.parent) and (damage := why_not_current(path.parent)) is not None:
        return f"{path.parent} is a damaged site: {damage}"
    other = other_than_bundle(path)
    if other is not None:
        reason = f"it {other}"
    elif path.is_dir():
        reason = _why_not(path)
    else:
        found = (
            "found a file"
            if path.exists()
            else f"found nothing{did_you_mean(path.name, _names_in(path.parent)[:_COMPARED])}"
        )
        reason = f"expected a folder with {MANIFEST}, {found}"
    return f"{path} is not a bundle: {reason}"


def _why_not(folder: Path) -> str:
    if is_site(folder):
        current = folder / CURRENT
        return "it is a site: " + (f"choose its current version, {current}" if is_bundle(current) else _damage(folder))
    inside = [name for name in _names_in(folder) if is_bundle(folder / name)]
    if inside:
        return f"it contains no {MANIFEST}; it contains the bundles {', '.join(inside)}: choose one"
    visited = itertools.islice(os.walk(folder), _LOOKED_AT)
    if any(name.lower().endswith(SUFFIXES) for _, _, files in visited for name in files):
        return f"it is a folder of images: train on them with edgecnn train ARCH --data {shlex.quote(str(folder))}"
    return f"it contains no {MANIFEST}"


def _damage(site: Path) -> str:
    """Return why the current version of a site is not a bundle, and the command that mends it."""
    bundle = led_to(site / CURRENT)
    return f"{why_not_a_bundle(bundle)}{mending(bundle)}"


def _names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none if it cannot be read."""
    try:
        return sorted(child.name for child in folder.iterdir())
    except OSError:
        return []


def led_to(bundle: Path) -> Path:
    """Return the folder that a link points to, and any other path unchanged.

    Call it once before a bundle is opened or verified: a link such as `current` may change between two reads.
    """
    return Path(os.path.realpath(bundle)) if bundle.is_symlink() else bundle  # `resolve` raises on a link to itself


def signature_beside(bundle: Path) -> Path:
    """Return the path of a bundle's signature, which is next to the folder. Links are followed first."""
    folder = led_to(bundle)
    if folder.name in ("", ".."):
        folder = folder.resolve()
    return folder.parent / f"{folder.name}.sig"


def bundles_in(folder: Path) -> list[Path]:
    """Return the bundles in a folder, sorted by name. Raise `BundleNotFound` if it has none.

    The only one of a site is its current version.
    """
    if is_site(folder) and not is_bundle(folder / CURRENT):
        raise BundleNotFound(_damage(folder))
    children = folder.iterdir() if folder.is_dir() else ()
    found = sorted(child for child in children if is_bundle(child) and not child.name.startswith("."))
    if not found:
        raise BundleNotFound(no_bundles(folder))
    return found


def no_bundles(path: Path, expected: str = f"folders with {MANIFEST}") -> str:
    """Return why a path is neither a bundle nor a folder of bundles, on one line with the path and what to do."""
    other = other_than_bundle(path)
    reason = f"expected {expected}" if other is None else f"it {other}"
    return f"{path} is neither a bundle nor a folder of bundles: {reason}"


def bundle_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the bundles at `paths` and in folders of bundles, each once. Raise `BundleNotFound` if one has none."""
    found = [each for path in paths for each in ([path] if is_bundle(path) else bundles_in(path))]
    return list({path.resolve(): path for path in found}.values())


def check_new_bundle(out: Path, *, force: bool) -> None:
    """Check that a bundle can be written to a folder. Call this before long work.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is not a bundle and cannot be replaced, or is inside a bundle.
    """
    check_outside_bundles(out)
    check_output(out, marker=MANIFEST, force=force)


def check_outside_bundles(place: Path) -> None:
    """Check that a path is not inside a bundle, which is sealed; raise `UsageError` if it is."""
    inside = Path(os.path.realpath(place.parent))  # resolves `..` and links as the system does
    for parent in (inside, *inside.parents):
        if all((parent / name).is_file() for name in (MANIFEST, SELF_TEST, PROOF)):
            raise UsageError(f"{place} is inside the bundle {parent}, which is sealed: choose a path outside it")
