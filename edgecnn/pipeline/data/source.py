"""Data sources and their splits: protocols, and checks for every source."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from edgecnn.bundle.decoding import ImageLike, Mode
from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError, SourceError

TEST_FRACTION = 0.2
"""Share of the images in the test split if a source is split by content hash."""

_NAMED = 3  # images named in a warning


class Images(Protocol):
    """Images with random access. `Preprocessing.image` accepts each of them."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> ImageLike: ...
    def digest(self, index: int) -> bytes:
        """Return the SHA-256 of one image's content."""
        ...


@dataclass(frozen=True)
class Split:
    """Images of a source with their targets, in a fixed order.

    Attributes:
        source: name of the source, not a path.
        name: `train` or `test`.
        images: the images, read on demand.
        targets: int64 [N]; None if unknown.
        root: the folder that image names are relative to. Records do not contain it.
    """

    source: str
    name: str
    images: Images
    targets: np.ndarray | None
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Return some images, preprocessed, as uint8 [N, H, W, C].

        Raises:
            SourceError: an image cannot be decoded. The message names it.
        """
        try:
            return preprocessing.images(self.images[int(i)] for i in indices)
        except ImageError as error:
            raise SourceError(f"{self.source}: {error}; repair or remove that file") from None

    def name_of(self, index: int) -> str:
        """Return an image's path within the source, or its number if it has no path."""
        image = self.images[index]
        if not isinstance(image, Path):
            return f"{self.name} image {index}"
        return "/".join(image.parts[-3:]) if self.root is None else image.relative_to(self.root).as_posix()

    def all_pixels(self, preprocessing: Preprocessing) -> np.ndarray:
        """Return all images, preprocessed, as uint8 [N, H, W, C]."""
        return self.pixels(range(len(self)), preprocessing)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Split":
        """Return the images at these indices, in this order, as a split of the same name."""
        chosen = [int(index) for index in indices]
        targets = None if self.targets is None else self.targets[chosen]
        return dataclasses.replace(self, images=_Chosen(self.images, chosen), targets=targets)

    def by_content(self, name: str) -> "Split":
        """Return the `train` or `test` images of a source without a split, chosen by image content.

        An image keeps its split when images are added. Copies of an image are always in the same split.
        """
        return self.subset([i for i in range(len(self)) if is_test(self.images.digest(i)) == (name == "test")])

    def parted(self, fraction: float) -> tuple["Split", "Split"]:
        """Split off about this fraction of the images by content. Return the remaining images, then the split-off ones.

        Copies of an image are always in the same part.
        """
        limit = fraction * 2**64
        # `is_test` uses the first eight bytes of the digest.
        cut = [int.from_bytes(self.images.digest(index)[8:16], "big") < limit for index in range(len(self))]
        return self.subset(np.flatnonzero(~np.array(cut, bool))), self.subset(np.flatnonzero(cut))

    def known_targets(self) -> np.ndarray:
        """Return the targets, int64 [N].

        Raises:
            SourceError: the images have no targets.
        """
        if self.targets is None:
            raise SourceError(f"the images of {self.source} have no classes: pass labelled images")
        return self.targets

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every image's content and target, in order."""
        whole = hashlib.sha256()
        for index in range(len(self)):
            whole.update(self.images.digest(index))
            if self.targets is not None:
                whole.update(int(self.targets[index]).to_bytes(4, "big"))
        return whole.hexdigest()

    def reference(self) -> DataReference:
        """Return the identity of these images, for a record."""
        return DataReference(self.source, self.name, len(self), self.digest)


@dataclass(frozen=True)
class LazyPixels:
    """The pixels of a split, uint8 [N, H, W, C]. Each slice is read and preprocessed on access."""

    split: Split
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        return self.split.pixels(range(*part.indices(len(self))), self.preprocessing)


@dataclass(frozen=True)
class _Chosen:
    """A selection of images."""

    images: Images
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> ImageLike:
        return self.images[self.indices[index]]

    def digest(self, index: int) -> bytes:
        return self.images.digest(self.indices[index])


class DataSource(Protocol):
    """A source of labelled images.

    Attributes:
        name: name in records, not a path.
        labels: class names. A target is an index into them.
        mode: colour mode of the images.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def mode(self) -> Mode: ...  # noqa: D102

    def split(self, name: str) -> Split:
        """Return the split `train` or `test`.

        Raises:
            SourceError: the source does not have this split.
        """
        ...


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


def is_test(digest: bytes) -> bool:
    """Return whether the image with this digest belongs to the test split."""
    return int.from_bytes(digest[:8], "big") < TEST_FRACTION * 2**64


def check_split(source: object, name: str) -> None:
    """Check that a split is `train` or `test`.

    Raises:
        SourceError: the split has another name.
    """
    if name not in ("train", "test"):
        raise SourceError(f"{source} has the splits train and test, found {name!r}")


def dataset_warnings(source: DataSource, training: Split, test: Split) -> list[str]:
    """Return warnings about a source, one line each: reasons why a result may look too good."""
    found = [*_shared(training, test), *getattr(source, "warnings", ())]
    counts = Counter(test.known_targets().tolist())
    missing = [label for target, label in enumerate(source.labels) if not counts[target]]
    if missing:
        found.append(f"{source.name} has no test images of {', '.join(missing)}: top-1 does not cover these classes")
    return found


def _shared(training: Split, test: Split) -> list[str]:
    known = {training.images.digest(index): index for index in range(len(training))}
    pairs = [(known[digest], index) for index in range(len(test)) if (digest := test.images.digest(index)) in known]
    if not pairs:
        return []
    names = [f"{training.name_of(mine)} = {test.name_of(theirs)}" for mine, theirs in pairs[:_NAMED]]
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    return [
        f"{len(pairs)} of {len(test)} test images of {training.source} are also training images "
        f"({'; '.join(names)}{more}): top-1 on them is not meaningful"
    ]
