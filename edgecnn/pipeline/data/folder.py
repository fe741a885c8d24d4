"""Image folders with one subfolder per class, under `train/` and `test/` (or `val/`), or without a split.

A folder without a split is split by image content. A folder with `train/` only has no test images.
"""

from pathlib import Path

import numpy as np

from edgecnn.bundle.decoding import SUFFIXES, Mode, decode, holds_grey
from edgecnn.errors import ImageError, SourceError
from edgecnn.pipeline.data.source import FileImages, Split, check_split

_LOOKED_AT = 32


class ImageFolder:
    """Images on disk, one subfolder per class. The labels are the sorted class names."""

    def __init__(self, root: Path) -> None:
        """Check the layout of the folder `root`.

        Raises:
            SourceError: the folder is missing, or has no class folders with images.
        """
        if not root.is_dir():
            raise SourceError(
                f"{root} is not a folder: expected one subfolder per class, under train/ and test/ or at the top level"
            )
        self.name = root.resolve().name
        self._root = root
        self._divided = (root / "train").is_dir()
        if not self._divided and ((root / "test").is_dir() or (root / "val").is_dir()):
            raise SourceError(f"{root} has test/ or val/, but no train/: put the training images there")
        first = root / "train" if self._divided else root
        self.labels = tuple(_classes(first))
        if not self.labels:
            raise SourceError(f"{first} has no class folders: expected one subfolder per class, with images in it")
        self.mode, self.warnings = _mode(first, self.labels)

    def split(self, name: str) -> Split:
        """See `DataSource.split`."""
        check_split(self._root, name)
        if self._divided:
            folders = ("train",) if name == "train" else ("test", "val")
            found = next((self._root / each for each in folders if (self._root / each).is_dir()), None)
            if found is None:
                raise SourceError(f"{self._root} has train/, but no test images: add test/ or val/")
            return self._read(found, name)
        undivided = self._read(self._root, name)
        chosen = undivided.by_content(name)
        if not len(chosen):
            raise SourceError(
                f"{self._root} has {len(undivided)} images, too few for a {name} split: divide it into train/ and test/"
            )
        return chosen

    def _read(self, folder: Path, name: str) -> Split:
        found = _classes(folder)
        if tuple(found) != self.labels:
            raise SourceError(f"{folder} has the classes {', '.join(found)}, expected {', '.join(self.labels)}")
        paths: list[Path] = []
        targets: list[int] = []
        for target, label in enumerate(self.labels):
            images = _images(folder / label)
            if not images:
                raise SourceError(f"{folder / label} has no images (JPEG, PNG or BMP): add some or remove the folder")
            paths += images
            targets += [target] * len(images)
        return Split(self.name, name, FileImages(paths), np.asarray(targets, dtype=np.int64), self._root)


def _classes(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _mode(folder: Path, labels: tuple[str, ...]) -> tuple[Mode, tuple[str, ...]]:
    """Return the colour mode, and warnings about it.

    Files with one channel are grey. Some files with three channels, evenly spread, are decoded to check. If a folder
    has both kinds, all images are read as RGB, which loses nothing.
    """
    paths = [path for label in labels for path in _images(folder / label)]
    if not paths:
        raise SourceError(f"{folder} has no images (JPEG, PNG or BMP) in its class folders: add some")
    try:
        coloured = [path for path in paths if not holds_grey(path)]
        grey = len(paths) - len(coloured)
        if not coloured:
            return "L", ()
        looked = coloured[:: max(1, len(coloured) // _LOOKED_AT)]
        if not grey and all(_is_grey(path) for path in looked):
            return "L", ()
    except ImageError as error:
        raise SourceError(f"{folder.name}: {error}; repair or remove that file") from None
    if not grey:
        return "RGB", ()
    return "RGB", (
        f"{grey} of {len(paths)} training images in {folder} are grey, others are colour: all are read as RGB",
    )


def _is_grey(path: Path) -> bool:
    pixels = np.asarray(decode(path, "RGB"))
    return bool((pixels == pixels[:, :, :1]).all())
