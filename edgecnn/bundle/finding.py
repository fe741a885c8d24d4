"""Where bundles stand, by the mark that they have. Standard library only: what lists them may be a small process."""

import os
from collections.abc import Iterable
from pathlib import Path

from edgecnn.errors import BundleNotFound, UsageError
from edgecnn.files.folder import check_output

MANIFEST, MODEL, SELF_TEST, PROOF = "manifest.json", "model.onnx", "self_test.npz", "proof.json"
"""The files of a bundle; a folder with the first is one."""

CURRENT, VERSIONS = "current", "versions"
"""What makes a folder one of `edgecnn install`: the link to what is in use, and where it leads; see `installing`."""

LARGEST_MANIFEST = 64 << 20
"""Bytes that are read of one: far above any list of labels."""


def is_bundle(path: Path) -> bool:
    """Say whether a folder has the mark of a bundle; whether it is intact, `open_bundle` says."""
    return (path / MANIFEST).is_file()


def led_to(bundle: Path) -> Path:
    """Return the folder that a link leads to, and any other path as it is.

    This is done once, before a bundle is opened or verified: a link such as `current` may change between two files.
    """
    return Path(os.path.realpath(bundle)) if bundle.is_symlink() else bundle  # `resolve` raises on a link to itself


def signature_beside(bundle: Path) -> Path:
    """Return the path of a bundle's signature: beside the folder, which is sealed; a link is followed first."""
    folder = led_to(bundle)
    if folder.name in ("", ".."):
        folder = folder.resolve()
    return folder.parent / f"{folder.name}.sig"


def bundles_in(folder: Path) -> list[Path]:
    """List the bundles in a folder, sorted by name, or raise `BundleNotFound`; one that is being written is hidden."""
    children = folder.iterdir() if folder.is_dir() else ()
    found = sorted(child for child in children if is_bundle(child) and not child.name.startswith("."))
    if not found:
        raise BundleNotFound(f"{folder} is neither a bundle nor a folder of bundles: expected folders with {MANIFEST}")
    return found


def bundle_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the bundles at paths to bundles or to folders of bundles, each once; else raise `BundleNotFound`."""
    found = [each for path in paths for each in ([path] if is_bundle(path) else bundles_in(path))]
    return list({path.resolve(): path for path in found}.values())


def check_new_bundle(out: Path, *, force: bool) -> None:
    """Check, before any long work begins, that a bundle can be written to a folder.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is something that `force` must not replace, or lies inside a bundle.
    """
    check_outside_bundles(out)
    check_output(out, marker=MANIFEST, force=force)


def check_outside_bundles(place: Path) -> None:
    """Raise `UsageError` for a place inside a bundle: one more file would break its seal."""
    inside = Path(os.path.realpath(place.parent))  # where `..` and links lead, as the system follows them
    for parent in (inside, *inside.parents):
        if all((parent / name).is_file() for name in (MANIFEST, SELF_TEST, PROOF)):
            raise UsageError(f"{place} lies inside the bundle {parent}, which is sealed: choose a place outside it")
