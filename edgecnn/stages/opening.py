"""Open the bundles that a caller gives as paths or as objects."""

from collections.abc import Iterable
from pathlib import Path

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.runtime.choosing import open_bundles

BundleLike = str | Path | Bundle


def open_one(bundle: BundleLike) -> Bundle:
    """Return a bundle, opened if it is a path.

    Raises:
        BundleError: the folder is not an intact bundle.
    """
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle)


def open_all(bundles: BundleLike | Iterable[BundleLike]) -> list[Bundle]:
    """Return one or several bundles. A path may be a folder of bundles.

    Raises:
        BundleError: a path is neither a bundle nor a folder of bundles, or a bundle is damaged.
    """
    several = [bundles] if isinstance(bundles, str | Path | Bundle) else list(bundles)
    opened: list[Bundle] = []
    for each in several:
        opened += [each] if isinstance(each, Bundle) else open_bundles([Path(each)])
    return list({bundle.path: bundle for bundle in opened}.values())
