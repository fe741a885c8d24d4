"""Images with random access: arrays, files, archive members, and selections of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.errors import SourceError


class Images(Protocol):
    """Images with random access. `Preprocessing.image` accepts each of them."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> ImageLike: ...
    def digest(self, index: int) -> bytes:
        """Return the SHA-256 of one image's content."""
        ...


@dataclass(frozen=True)
class ChosenImages:
    """A selection of images."""

    images: Images
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> ImageLike:
        return self.images[self.indices[index]]

    def digest(self, index: int) -> bytes:
        """See `Images.digest`."""
        return self.images.digest(self.indices[index])


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory as one array, uint8 [N, H, W] or [N, H, W, C]."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int, /) -> ImageLike:
        return np.asarray(self.array[index])

    def digest(self, index: int) -> bytes:
        """See `Images.digest`."""
        return hashlib.sha256(self.array[index].tobytes()).digest()


class FileImages:
    """Images on disk."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._digests: dict[int, bytes] = {}  # cache: several splits and records need each digest

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> ImageLike:
        return self._paths[index]

    def digest(self, index: int) -> bytes:
        """See `Images.digest`."""
        if index not in self._digests:
            try:
                with self._paths[index].open("rb") as file:
                    self._digests[index] = hashlib.file_digest(file, "sha256").digest()
            except OSError as error:
                raise SourceError(f"cannot read {self._paths[index]}: {error.strerror}") from None
        return self._digests[index]
