"""`cifar10`: 50,000 training and 10,000 test photographs in ten classes, 32 × 32 RGB.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The files exist as binary files and as Python 2
pickles. torchvision downloads the pickles. A restricted unpickler reads them: it creates NumPy arrays only.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.public_sets import find, places
from edgecnn.pipeline.data.source import Split, check_split

_PICKLED, _BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
_FILES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
_PIXELS = 3 * 32 * 32


class Cifar10:
    """CIFAR-10, from a local folder or downloaded."""

    name = "cifar10"
    labels = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    mode: Mode = "RGB"

    def places(self) -> tuple[Path, ...]:
        """Return the folders to search, in order."""
        return places(self.name, _PICKLED, _BINARY)

    def split(self, name: str) -> Split:
        """See `DataSource.split`."""
        check_split(self.name, name)
        binary = next((place for place in self.places() if (place / "test_batch.bin").is_file()), None)
        if binary is not None:
            parts = [_read_binary(binary / f"{file}.bin") for file in _FILES[name]]
        else:
            folder = find(self.name, "CIFAR10", _PICKLED, "test_batch", self.places())
            parts = [_read_pickled(folder / file) for file in _FILES[name]]
        images, targets = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Split(self.name, name, ArrayImages(images), targets)


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read uint8 images [N, 32, 32, 3] and int64 targets [N]. A record is a class byte and 3 × 32 × 32 pixel bytes."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; download it again") from None
    if content.size == 0 or content.size % (1 + _PIXELS):
        problem = f"its {content.size} bytes are not a whole number of images"
        raise SourceError(f"{path} is not a CIFAR-10 file: {problem}; download it again")
    records = content.reshape(-1, 1 + _PIXELS)
    return _checked(path, records[:, 1:], records[:, 0].astype(np.int64))


def _read_pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read uint8 images [N, 32, 32, 3] and int64 targets [N] from a pickled dictionary."""
    try:
        with path.open("rb") as file:
            found = _ArraysOnly(file, encoding="bytes").load()
        pixels, targets = np.asarray(found[b"data"]), np.asarray(found[b"labels"], dtype=np.int64)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; download it again") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:100]
        raise SourceError(f"{path} is not a CIFAR-10 file ({reason}): download it again") from None
    return _checked(path, pixels, targets)


def _checked(path: Path, pixels: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fits = pixels.dtype == np.uint8 and pixels.shape == (targets.size, _PIXELS) and targets.ndim == 1
    if not fits or (targets.size and not 0 <= targets.min() <= targets.max() < len(Cifar10.labels)):
        raise SourceError(f"{path} does not contain CIFAR-10 images and classes: download it again")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), targets


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that allows only the classes of a NumPy array, under their old and new module names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
