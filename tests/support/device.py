"""The files that a device receives for `verify --data`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OnADevice:
    """What a device is given: an image folder, and a file of the reference's logits on its test images."""

    folder: Path
    reference: Path
