"""Chooses one of several bundles in a folder, by the profile that `edgecnn tune` recorded."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgecnn.bundle.finding import bundle_paths, bundles_in
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import UsageError
from edgecnn.runtime.profile import Purpose, read_profile


def choose(folder: Path, purpose: Purpose) -> Bundle:
    """Return the bundle that this machine's profile chooses. A single bundle needs no profile.

    Raises:
        BundleError: the folder contains no bundle, or a damaged one.
        UsageError: the bundles come from several references, or no valid profile includes all of them.
    """
    bundles = [open_bundle(path) for path in bundles_in(folder)]
    if len(bundles) == 1:
        return bundles[0]
    check_one_reference(bundles)
    profile, reason = read_profile(bundles[0].manifest.reference.digest, purpose)
    by_digest = {bundle.digest: bundle for bundle in bundles}
    if profile is not None:
        unknown = [bundle.manifest.name for bundle in bundles if bundle.digest not in profile.bundles]
        if not unknown and profile.choice.bundle in by_digest:
            return by_digest[profile.choice.bundle]
        reason = f"the profile does not include {', '.join(unknown)}" if unknown else "the chosen bundle is missing"
    raise UsageError(
        f"{folder} contains {len(bundles)} bundles, and no profile chooses one of them: "
        f"{reason or 'no profile was recorded on this machine'}; "
        f"run `edgecnn tune {folder}{'' if purpose == 'latency' else ' --for throughput'}`, or name a bundle"
    )


def open_bundles(paths: Iterable[Path]) -> list[Bundle]:
    """Open bundles, and all bundles in folders of bundles, each once.

    Raises:
        BundleError: a path is neither a bundle nor a folder of bundles, or a bundle is damaged.
    """
    return [open_bundle(path) for path in bundle_paths(paths)]


def check_one_reference(bundles: Sequence[Bundle]) -> None:
    """Check that all bundles come from the same reference.

    Raises:
        UsageError: two bundles come from different references.
    """
    first = bundles[0]
    for bundle in bundles[1:]:
        if bundle.manifest.reference.digest != first.manifest.reference.digest:
            raise UsageError(
                f"{first.path} and {bundle.path} come from different references: name only bundles of one reference"
            )
