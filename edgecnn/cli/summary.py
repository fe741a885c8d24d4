"""What `export` and `quantize` say of the bundle that they have made."""

from typing import Any

from edgecnn.bundle.store import Bundle
from edgecnn.cli.output import number, percent
from edgecnn.files import schema


def bundle_summary(bundle: Bundle) -> dict[str, Any]:
    """Return a new bundle's place, digest and proof as JSON."""
    return {
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "precision": bundle.manifest.precision,
        "size_bytes": bundle.size_bytes,
        "proof": schema.plain(bundle.proof()),
    }


def bundle_text(bundle: Bundle) -> str:
    """Return the same in a few lines."""
    proof = bundle.proof()
    lines = [f"{bundle.path}: {bundle.manifest.precision}, {bundle.size_bytes / 1024:.0f} KiB"]
    for engine in proof.engines:
        found = engine.comparison
        lines.append(
            f"  {engine.engine}: top-1 {percent(found.top1)} (reference {percent(found.reference_top1)}), "
            f"agreement {percent(found.agreement)} on {found.images} images, "
            f"largest logit error {number(found.max_error)}"
        )
    return "\n".join(lines)
