"""Parse `manifest.json` strictly, and reject format versions and features that are not supported."""

import json

from edgecnn.bundle.manifest import MAJOR, MINOR, Manifest
from edgecnn.bundle.names import is_name
from edgecnn.errors import ManifestError, UnsafePath, UnsupportedFormat
from edgecnn.files import schema


def parse_manifest(content: bytes) -> Manifest:
    """Parse a manifest, strictly.

    Raises:
        UnsupportedFormat: its format version or a feature is not supported.
        UnsafePath: a file name points outside the bundle.
        ManifestError: it does not follow the format.
    """
    minor = _check_major(content)
    try:
        manifest = schema.parse(Manifest, content)
    except schema.SchemaError as error:
        if minor > MINOR:
            raise too_new(minor, error) from None
        raise ManifestError(f"manifest.json does not follow the format: {error}") from None
    if not is_name(manifest.name):  # other files are named after it
        raise UnsafePath(f"manifest.json has the name {manifest.name!r}, which is not a valid bundle name")
    for name in (*manifest.files, *(graph.file for graph in manifest.graphs)):
        if not is_name(name):
            raise UnsafePath(f"manifest.json names the file {name!r}, which is not a plain name inside the bundle")
    return manifest


def too_new(minor: int, error: schema.SchemaError) -> UnsupportedFormat:
    """Return the error for a file of a later minor version that cannot be parsed."""
    return UnsupportedFormat(
        f"this bundle has format {MAJOR}.{minor}, this edgecnn reads {MAJOR}.{MINOR} ({error}): "
        f"upgrade edgecnn on this machine"
    )


def _check_major(content: bytes) -> int:
    """Check the major version and return the minor one, or 0 if the manifest has none.

    This comes before the strict parser, because another major version may have other keys.
    """
    try:
        version = json.loads(content)["format"]
        major, minor = version["major"], version["minor"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0  # the strict parser reports the error
    if isinstance(major, int) and major != MAJOR:
        remedy = "upgrade edgecnn on this machine" if major > MAJOR else "export and quantize it again"
        raise UnsupportedFormat(f"this bundle has format {major}, this edgecnn reads format {MAJOR}: {remedy}")
    return minor if isinstance(minor, int) else 0
