"""Which of the bundles that stand side by side in a folder runs here: what `edgecnn tune` has found."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgecnn.bundle.finding import bundle_paths, bundles_in
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import UsageError
from edgecnn.runtime.profile import Purpose, read_profile


def choose(folder: Path, purpose: Purpose) -> Bundle:
    """Return the bundle that this machine's profile chooses; a single bundle needs no profile.

    Raises:
        BundleError: the folder holds no bundle, or one that is not intact.
        UsageError: the bundles come from several references, or no profile that holds here knows all of them.
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
        reason = f"the profile does not know {', '.join(unknown)}" if unknown else "the bundle that was chosen is gone"
    raise UsageError(
        f"which of the {len(bundles)} bundles in {folder} is the best here is not known: "
        f"{reason or 'nothing was tuned here yet'}; "
        f"run `edgecnn tune {folder}{'' if purpose == 'latency' else ' --for throughput'}`, or name a bundle"
    )


def open_bundles(paths: Iterable[Path]) -> list[Bundle]:
    """Open bundles, and those in folders of bundles; each once.

    Raises:
        BundleError: a path is neither a bundle nor a folder of bundles, or a bundle is not intact.
    """
    return [open_bundle(path) for path in bundle_paths(paths)]


def check_one_reference(bundles: Sequence[Bundle]) -> None:
    """Refuse bundles of several references.

    Raises:
        UsageError: two of them come from different ones.
    """
    first = bundles[0]
    for bundle in bundles[1:]:
        if bundle.manifest.reference.digest != first.manifest.reference.digest:
            raise UsageError(
                f"{first.path} and {bundle.path} come from different references, and answer differently: "
                f"name the bundles of one"
            )
