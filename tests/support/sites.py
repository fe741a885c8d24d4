"""What is installed in a site."""

from pathlib import Path

from edgecnn.bundle.store import open_bundle


def current(site: Path) -> str:
    return open_bundle(site / "current").digest


def versions(site: Path) -> list[int]:
    return sorted(int(path.name) for path in (site / "versions").iterdir())
