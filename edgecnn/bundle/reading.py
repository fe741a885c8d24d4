"""Reads `manifest.json` strictly, and refuses versions and features that this edgecnn does not run."""

import json

from edgecnn.bundle.manifest import MAJOR, MINOR, Manifest, Scores
from edgecnn.bundle.names import is_name
from edgecnn.errors import ManifestError, UnsafePath, UnsupportedFormat
from edgecnn.files import schema


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest, strictly.

    Raises:
        UnsupportedFormat: another version of edgecnn wrote it, or it needs what this version does not run.
        UnsafePath: a file name would leave the folder.
        ManifestError: anything else that does not follow the format.
    """
    minor = _check_major(content)
    try:
        manifest = schema.parse(Manifest, content)
    except schema.SchemaError as error:
        if minor > MINOR:
            raise UnsupportedFormat(
                f"this bundle has format {MAJOR}.{minor}, this edgecnn reads {MAJOR}.{MINOR} ({error}): "
                f"upgrade edgecnn on this machine"
            ) from None
        raise ManifestError(f"manifest.json does not follow the format: {error}") from None
    if not is_name(manifest.name):  # other files are named after it
        raise UnsafePath(f"manifest.json has the name {manifest.name!r}, which is not a plain name")
    for name in (*manifest.files, *(graph.file for graph in manifest.graphs)):
        if not is_name(name):
            raise UnsafePath(f"manifest.json names the file {name!r}, which is not a plain name inside the bundle")
    _check_supported(manifest)
    return manifest


def _check_supported(manifest: Manifest) -> None:
    """Refuse what the format can describe and this version does not run."""
    needs = None
    if len(manifest.graphs) > 1:
        needs = "two graphs (a cascade)"
    elif "int4" in manifest.graph.weights.values():
        needs = "4-bit weights"
    elif manifest.scores != Scores():
        needs = f"the activation {manifest.scores.activation}"
    if needs is not None:
        raise UnsupportedFormat(f"this bundle needs {needs}, which this edgecnn does not run: upgrade edgecnn")


def _check_major(content: bytes) -> int:
    """Check the version before the strict reading: another major version may have another shape.

    Returns the minor version, 0 where there is none to read.
    """
    try:
        version = json.loads(content)["format"]
        major, minor = version["major"], version["minor"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0  # the strict reader says what is wrong
    if isinstance(major, int) and major != MAJOR:
        remedy = "upgrade edgecnn on this machine" if major > MAJOR else "export and quantize it again"
        raise UnsupportedFormat(f"this bundle has format {major}, this edgecnn reads format {MAJOR}: {remedy}")
    return minor if isinstance(minor, int) else 0
