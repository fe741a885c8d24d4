"""`cifar10`: 50,000 + 10,000 photographs of ten things, 32 × 32 in colour.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. Its files come in a binary form and as pickles
of Python 2; the latter, which torchvision downloads, are read by an unpickler that can make arrays and nothing else.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.public_sets import find, places
from edgecnn.pipeline.data.source import ArrayImages, Split, check_split

_PICKLED, _BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
_FILES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
_PIXELS = 3 * 32 * 32


class Cifar10:
    """CIFAR-10, from wherever it is, or from the network."""

    name = "cifar10"
    labels = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    mode: Mode = "RGB"

    def places(self) -> tuple[Path, ...]:
        """Return the folders where it is looked for, in order."""
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
    """Read records of one byte of class and 3 × 32 × 32 of pixels: uint8 [N, 32, 32, 3], int64 [N]."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; download it again") from None
    if content.size == 0 or content.size % (1 + _PIXELS):
        problem = f"{content.size} bytes are not whole images"
        raise SourceError(f"{path} is no file of CIFAR-10: {problem}; download it again")
    records = content.reshape(-1, 1 + _PIXELS)
    return _checked(path, records[:, 1:], records[:, 0].astype(np.int64))


def _read_pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a dictionary of arrays: uint8 [N, 32, 32, 3], int64 [N]."""
    try:
        with path.open("rb") as file:
            found = _ArraysOnly(file, encoding="bytes").load()
        pixels, targets = np.asarray(found[b"data"]), np.asarray(found[b"labels"], dtype=np.int64)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; download it again") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:100]
        raise SourceError(f"{path} is no file of CIFAR-10 ({reason}): download it again") from None
    return _checked(path, pixels, targets)


def _checked(path: Path, pixels: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fits = pixels.dtype == np.uint8 and pixels.shape == (targets.size, _PIXELS) and targets.ndim == 1
    if not fits or (targets.size and not 0 <= targets.min() <= targets.max() < len(Cifar10.labels)):
        raise SourceError(f"{path} does not hold images of CIFAR-10 with their classes: download it again")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), targets


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that finds what an array of numbers needs, by its names in old and new NumPy, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
