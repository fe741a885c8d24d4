"""Changes of a bundle's manifest."""

import json
from collections.abc import Callable
from pathlib import Path


def edit_manifest(bundle: Path, change: Callable[[dict], None]) -> None:
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_text())
    change(document)
    manifest.write_text(json.dumps(document))
