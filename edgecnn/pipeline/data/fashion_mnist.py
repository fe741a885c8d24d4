"""`fashion-mnist`: 60,000 + 10,000 images of clothes, 28 × 28 grey.

Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, 2017
(arXiv:1708.07747). Files are in the IDX format of MNIST; its description: LeCun, Cortes and Burges, The MNIST
Database, 1998.
"""

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.source import ArrayImages, Split

_FILES = {"train": "train", "test": "t10k"}


class FashionMnist:
    """Fashion-MNIST, from wherever it is installed."""

    name = "fashion-mnist"
    labels = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    mode: Mode = "L"

    def split(self, name: str) -> Split:
        """See `DataSource.split`."""
        if name not in _FILES:
            raise SourceError(f"fashion-mnist has the splits train and test, not {name!r}")
        folder = _find()
        images = read_idx(folder / f"{_FILES[name]}-images-idx3-ubyte.gz")
        targets = read_idx(folder / f"{_FILES[name]}-labels-idx1-ubyte.gz")
        if images.ndim != 3 or targets.shape != images.shape[:1]:
            raise SourceError(f"{folder}: {images.shape} images do not fit {targets.shape} targets: install it again")
        return Split(self.name, name, ArrayImages(images), targets.astype(np.int64))


def places() -> tuple[Path, ...]:
    """Return the folders where Fashion-MNIST is looked for, in order."""
    # Path.expanduser raises where a user has no home folder; this leaves a place where nothing is.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    named = os.environ.get("EDGECNN_DATA")
    return (
        *([Path(named) / "fashion-mnist"] if named else []),
        cache / "edgecnn" / "data" / "fashion-mnist",
        Path("data/FashionMNIST/raw"),  # where torchvision.datasets.FashionMNIST("data", download=True) puts it
        Path("/usr/share/datasets/fashion-mnist"),
    )


def _find() -> Path:
    for folder in places():
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            return folder
    looked = ", ".join(map(str, places()))
    raise SourceError(
        f"fashion-mnist is not here (looked in {looked}): on Debian `apt install dataset-fashion-mnist`, elsewhere "
        f"`python -c \"import torchvision; torchvision.datasets.FashionMNIST('data', download=True)\"`, "
        f"or set EDGECNN_DATA to a folder that holds fashion-mnist/"
    )


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of uint8.

    Raises:
        SourceError: it is missing, damaged, or holds something else.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {path}: {error}; install it again") from None
    # Magic: two zero bytes, the element type (8 is uint8), the number of dimensions; then each of them, big-endian.
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise SourceError(f"{path} is not an IDX file of bytes: install it again")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", count=content[3], offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    try:
        return values.reshape(shape)
    except ValueError:
        announced = f"{values.size} bytes where {shape} are announced"
        raise SourceError(f"{path} holds {announced}: install it again") from None
