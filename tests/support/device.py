"""The files that a device receives for `verify --data`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OnADevice:
    """An image folder, and a file with the reference's logits on its test images."""

    folder: Path
    reference: Path
