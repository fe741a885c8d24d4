"""Ship a bundle to nodes by its digest: a node keeps the bundles that it has received."""

import contextlib

from edgecnn.bundle.finding import MANIFEST
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, OutputExists
from edgecnn.files.folder import write_folder
from edgecnn.files.places import cache_folder


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """Return the content of each file of a bundle."""
    return {name: (bundle.path / name).read_bytes() for name in (MANIFEST, *bundle.manifest.files)}


def received(digest: str, files: dict[str, bytes]) -> Bundle:
    """Return the bundle with a digest from this node's cache, `$XDG_CACHE_HOME/edgecnn/bundles`; write it if necessary.

    Raises:
        BundleError: the files are not a bundle with this digest.
        EdgecnnError: the cache cannot be written.
    """
    place = cache_folder() / "bundles" / digest
    try:
        found = open_bundle(place)
    except BundleError:
        with contextlib.suppress(OutputExists):  # another process of this node was faster
            write_folder(place, files, marker=MANIFEST, force=place.exists())
        found = open_bundle(place)
    if found.digest != digest:
        raise BundleError(f"{place} has the digest {found.digest[:12]}, expected {digest[:12]}: remove that folder")
    return found
