"""Which bundles a server serves, and under which names: found without opening one, so without NumPy."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from edgecnn.bundle.finding import LARGEST_MANIFEST, MANIFEST, bundle_paths
from edgecnn.errors import BundleNotFound, UsageError

DEFAULT = Path("exported")
"""What is served where nothing is named."""

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]|^$|^[._-]")
"""What stands in no bundle's name; see `bundle.manifest.check_name`."""


def find_bundles(paths: Sequence[Path]) -> list[Path]:
    """Return the bundles that paths stand for; without any, those of `./exported`.

    A bundle that is damaged is among them: what is wrong with it is said when it is opened, and others are served.

    Raises:
        UsageError: there is none, or two have the same name.
    """
    try:
        found = bundle_paths(paths or [DEFAULT])
    except BundleNotFound as error:
        hint = "" if paths else f"; without a BUNDLE or FOLDER the bundles in ./{DEFAULT} are served"
        raise UsageError(f"{error}{hint}") from None
    named: dict[str, Path] = {}
    for path in found:
        name = served_name(path)
        if named.setdefault(name, path) is not path:
            raise UsageError(f"{named[name]} and {path} are both named {name!r}: serve one of them")
    return found


def served_name(bundle: Path) -> str:
    """Return the name under which a bundle is served; a damaged one's is its folder's, as far as that can be one."""
    return name_of(bundle) or _UNNAMEABLE.sub("_", bundle.resolve().name)[:100]


def name_of(bundle: Path) -> str | None:
    """Return the name in a bundle's manifest; None where it cannot be read."""
    try:
        with (bundle / MANIFEST).open("rb") as file:
            document = json.loads(file.read(LARGEST_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return None
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and not _UNNAMEABLE.search(name) else None
