"""`mnist` (digits) and `fashion-mnist` (clothes): 60,000 training and 10,000 test images each, 28 × 28 grey.

LeCun, Cortes and Burges, The MNIST Database, 1998, also describes the IDX file format. Xiao, Rasul and Vollgraf,
Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, 2017 (arXiv:1708.07747).
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.public_sets import find, places
from edgecnn.pipeline.data.source import Split, check_split

_FILES = {"train": "train", "test": "t10k"}


class Mnist:
    """MNIST, from a local folder or downloaded."""

    name = "mnist"
    labels: tuple[str, ...] = tuple("0123456789")
    mode: Mode = "L"
    _dataset = "MNIST"
    _installed: tuple[str, ...] = ()
    _hint = ""

    def places(self) -> tuple[Path, ...]:
        """Return the folders to search, in order."""
        return places(self.name, f"{self._dataset}/raw", *self._installed)

    def split(self, name: str) -> Split:
        """See `DataSource.split`."""
        check_split(self.name, name)
        marker = "train-images-idx3-ubyte.gz"
        folder = find(self.name, self._dataset, f"{self._dataset}/raw", marker, self.places(), hint=self._hint)
        images = read_idx(folder / f"{_FILES[name]}-images-idx3-ubyte.gz")
        targets = read_idx(folder / f"{_FILES[name]}-labels-idx1-ubyte.gz")
        if images.ndim != 3 or targets.shape != images.shape[:1]:
            raise SourceError(
                f"{folder}: images of shape {images.shape} do not match targets of shape {targets.shape}: "
                f"install it again"
            )
        if targets.size and targets.max() >= len(self.labels):
            raise SourceError(f"{folder}: {self.name} does not have a class {targets.max()}: install it again")
        return Split(self.name, name, ArrayImages(images), targets.astype(np.int64))


class FashionMnist(Mnist):
    """Fashion-MNIST, from a local folder or downloaded."""

    name = "fashion-mnist"
    labels = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    _dataset = "FashionMNIST"
    _installed = ("/usr/share/datasets/fashion-mnist",)
    _hint = "on Debian `apt install dataset-fashion-mnist`, or "


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of uint8.

    Raises:
        SourceError: the file is missing, damaged, or in another format.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {path}: {error}; install it again") from None
    # Header: two zero bytes, the element type (8 is uint8), the number of dimensions, then each size, big-endian.
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise SourceError(f"{path} is not an IDX file of bytes: install it again")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", count=content[3], offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    try:
        return values.reshape(shape)
    except ValueError:
        announced = f"{values.size} bytes, its header announces {shape}"
        raise SourceError(f"{path} has {announced}: install it again") from None
