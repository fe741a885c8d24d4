"""Find bundles by their files. Imports only the standard library, so that listing bundles needs little memory."""

import itertools
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from edgecnn.errors import BundleNotFound, UsageError
from edgecnn.files.folder import check_output
from edgecnn.hints import did_you_mean

MANIFEST, MODEL, SELF_TEST, PROOF = "manifest.json", "model.onnx", "self_test.npz", "proof.json"
"""Files of a bundle. A folder with a manifest is a bundle."""

CURRENT, VERSIONS = "current", "versions"
"""The link to the current version of a site, and the folder of its versions; see `installing`."""

CHECKPOINT = "checkpoint.json"
"""The file that identifies a checkpoint."""

LARGEST_MANIFEST = 64 << 20
"""Largest size of a manifest in bytes, far above any list of labels."""

_WEIGHTS = (".pth", ".pt", ".pth.tar", ".ckpt", ".safetensors", ".bin")
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".heic", ".avif")
_LOOKED_AT = 100  # folders that are searched for images
_COMPARED = 1000  # names in a folder that are compared with a misspelled one


def is_bundle(path: Path) -> bool:
    """Return whether a folder contains a manifest. `open_bundle` checks whether the bundle is intact."""
    return (path / MANIFEST).is_file()


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
    if name.endswith(_IMAGES):
        return f"is an image: classify it with a bundle: edgecnn predict BUNDLE {shown}"
    return None


def why_not_a_bundle(path: Path) -> str:
    """Return why a path is not a bundle, on one line with the path and what to do."""
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
    inside = [name for name in _names_in(folder) if is_bundle(folder / name)]
    if inside:
        return f"it contains no {MANIFEST}; it contains the bundles {', '.join(inside)}: choose one"
    visited = itertools.islice(os.walk(folder), _LOOKED_AT)
    if any(name.lower().endswith(_IMAGES) for _, _, files in visited for name in files):
        return f"it is a folder of images: train on them with edgecnn train ARCH --data {shlex.quote(str(folder))}"
    return f"it contains no {MANIFEST}"


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
    """Return the bundles in a folder, sorted by name. Raise `BundleNotFound` if it has none."""
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
