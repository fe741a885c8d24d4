"""Data sources and their splits: the protocols, and checks that hold for each source."""

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
"""Share of the images that a split by content hash keeps for testing."""

_NAMED = 3  # images that a warning names


class Images(Protocol):
    """Images that can be read one at a time, in any order, each as something that `Preprocessing.image` takes."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> ImageLike: ...
    def digest(self, index: int) -> bytes:
        """Return the sha256 of one image's content."""
        ...


@dataclass(frozen=True)
class Split:
    """Some images of a source with their targets, in a fixed order.

    Attributes:
        source: name of the source; no path.
        name: `train` or `test`.
        images: read when they are needed.
        targets: int64 [N]; None where nobody knows them.
        root: the folder that image files are named from; no record holds it.
    """

    source: str
    name: str
    images: Images
    targets: np.ndarray | None
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Read and preprocess some images as uint8 [N, H, W, C].

        Raises:
            SourceError: an image cannot be decoded; the message names it.
        """
        try:
            return preprocessing.images(self.images[int(i)] for i in indices)
        except ImageError as error:
            raise SourceError(f"{self.source}: {error}; repair or remove that file") from None

    def name_of(self, index: int) -> str:
        """Name an image for a person: its path within the source where it has one, else its number."""
        image = self.images[index]
        if not isinstance(image, Path):
            return f"{self.name} image {index}"
        return "/".join(image.parts[-3:]) if self.root is None else image.relative_to(self.root).as_posix()

    def all_pixels(self, preprocessing: Preprocessing) -> np.ndarray:
        """Read and preprocess every image as uint8 [N, H, W, C]."""
        return self.pixels(range(len(self)), preprocessing)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Split":
        """Return some of these images, in the order given, as a split of the same name."""
        chosen = [int(index) for index in indices]
        targets = None if self.targets is None else self.targets[chosen]
        return dataclasses.replace(self, images=_Chosen(self.images, chosen), targets=targets)

    def by_content(self, name: str) -> "Split":
        """Return the `train` or the `test` images of an undivided source, from the content of each image alone.

        An image keeps its split when others are added, and copies of one image are always in the same split.
        """
        return self.subset([i for i in range(len(self)) if is_test(self.images.digest(i)) == (name == "test")])

    def parted(self, fraction: float) -> tuple["Split", "Split"]:
        """Split off about this fraction of the images by their content; returns the rest, then those.

        Copies of one image are always in the same part.
        """
        limit = fraction * 2**64
        # The first eight bytes of a digest may have chosen the test images already.
        cut = [int.from_bytes(self.images.digest(index)[8:16], "big") < limit for index in range(len(self))]
        return self.subset(np.flatnonzero(~np.array(cut, bool))), self.subset(np.flatnonzero(cut))

    def known_targets(self) -> np.ndarray:
        """Return the targets, int64 [N].

        Raises:
            SourceError: nobody knows them.
        """
        if self.targets is None:
            raise SourceError(f"the images of {self.source} have no classes: name labelled images")
        return self.targets

    @cached_property
    def digest(self) -> str:
        """Sha256 over every image's content and target, in order."""
        whole = hashlib.sha256()
        for index in range(len(self)):
            whole.update(self.images.digest(index))
            if self.targets is not None:
                whole.update(int(self.targets[index]).to_bytes(4, "big"))
        return whole.hexdigest()

    def reference(self) -> DataReference:
        """Say which images these are, for a record."""
        return DataReference(self.source, self.name, len(self), self.digest)


@dataclass(frozen=True)
class LazyPixels:
    """The pixels of a split, uint8 [N, H, W, C]; a slice is read and preprocessed each time it is taken."""

    split: Split
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        return self.split.pixels(range(*part.indices(len(self))), self.preprocessing)


@dataclass(frozen=True)
class _Chosen:
    """Some of other images."""

    images: Images
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> ImageLike:
        return self.images[self.indices[index]]

    def digest(self, index: int) -> bytes:
        return self.images.digest(self.indices[index])


class DataSource(Protocol):
    """Labelled images: the seam that other sources join.

    Attributes:
        name: what records call it; no path.
        labels: class names; a target is an index into them.
        mode: colour mode of its images.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def mode(self) -> Mode: ...  # noqa: D102

    def split(self, name: str) -> Split:
        """Return `train` or `test`.

        Raises:
            SourceError: there is no such split.
        """
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images that lie in memory as one array, uint8 [N, H, W] or [N, H, W, C]."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int, /) -> ImageLike:
        return np.asarray(self.array[index])

    def digest(self, index: int) -> bytes:
        """See `Images.digest`."""
        return hashlib.sha256(self.array[index].tobytes()).digest()


class FileImages:
    """Images that lie on disk."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._digests: dict[int, bytes] = {}  # several splits and records ask for each; a file is read once for all

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
        SourceError: it is neither.
    """
    if name not in ("train", "test"):
        raise SourceError(f"{source} has the splits train and test, not {name!r}")


def complaints(source: DataSource, training: Split, test: Split) -> list[str]:
    """Return warnings about a source: a line for each reason why a result would look too good, or an image change."""
    found = [*_shared(training, test), *getattr(source, "complaints", ())]
    counts = Counter(test.known_targets().tolist())
    missing = [label for target, label in enumerate(source.labels) if not counts[target]]
    if missing:
        found.append(f"{source.name} has no test images of {', '.join(missing)}: top-1 says nothing of them")
    return found


def _shared(training: Split, test: Split) -> list[str]:
    known = {training.images.digest(index): index for index in range(len(training))}
    pairs = [(known[digest], index) for index in range(len(test)) if (digest := test.images.digest(index)) in known]
    if not pairs:
        return []
    names = [f"{training.name_of(mine)} = {test.name_of(theirs)}" for mine, theirs in pairs[:_NAMED]]
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    return [
        f"{len(pairs)} of {len(test)} test images of {training.source} are training images too "
        f"({'; '.join(names)}{more}): top-1 on them proves nothing"
    ]
