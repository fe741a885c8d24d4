"""The images that a measurement runs on, if the user gives them.

The cost of a cascade depends on its images. The measuring processes read them from files, one for each preprocessing.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError


@dataclass(frozen=True)
class GivenImages:
    """Images to measure on.

    Attributes:
        data: the identity of the images, for a record.
        pixels: returns all images, preprocessed, as uint8 [N, H, W, C].
    """

    data: DataReference
    pixels: Callable[[Preprocessing], np.ndarray]


class ImageFiles:
    """Preprocessed images in temporary files. Use it in a `with` block."""

    def __init__(self, images: GivenImages | None) -> None:
        self._images = images
        self._folder = tempfile.TemporaryDirectory(prefix="edgecnn-")
        self._files: dict[Preprocessing, Path] = {}

    def of(self, bundle: Bundle) -> Path | None:
        """Return the file with the images as a bundle takes them, uint8 [N, H, W, C]; None without images.

        Raises:
            SourceError: an image cannot be decoded.
        """
        preprocessing = bundle.manifest.preprocessing
        if self._images is not None and preprocessing not in self._files:
            file = Path(self._folder.name) / f"{len(self._files)}.npy"
            np.save(file, self._images.pixels(preprocessing), allow_pickle=False)
            self._files[preprocessing] = file
        return self._files.get(preprocessing)

    def __enter__(self) -> "ImageFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._folder.cleanup()


def check_given(bundles: Iterable[Bundle], images: GivenImages | None) -> None:
    """Check that there are images if a bundle is a cascade.

    Raises:
        UsageError: there are none.
    """
    cascade = next((bundle for bundle in bundles if bundle.manifest.cascade is not None), None)
    if cascade is not None and images is None:
        raise UsageError(
            f"{cascade.path} is a cascade, whose cost depends on the images: name images like yours with --data"
        )
