"""Find bundles by their files. Imports only the standard library, so that listing bundles needs little memory."""

import os
from collections.abc import Iterable
from pathlib import Path

from edgecnn.errors import BundleNotFound, UsageError
from edgecnn.files.folder import check_output

MANIFEST, MODEL, SELF_TEST, PROOF = "manifest.json", "model.onnx", "self_test.npz", "proof.json"
"""Files of a bundle. A folder with a manifest is a bundle."""

CURRENT, VERSIONS = "current", "versions"
"""The link to the current version of a site, and the folder of its versions; see `installing`."""

LARGEST_MANIFEST = 64 << 20
"""Largest size of a manifest in bytes, far above any list of labels."""


def is_bundle(path: Path) -> bool:
    """Return whether a folder contains a manifest. `open_bundle` checks whether the bundle is intact."""
    return (path / MANIFEST).is_file()


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
        raise BundleNotFound(f"{folder} is neither a bundle nor a folder of bundles: expected folders with {MANIFEST}")
    return found


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
