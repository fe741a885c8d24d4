"""Data sources and their splits: protocols, and checks for every source."""

import dataclasses
import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from edgecnn.bundle.decoding import Mode, decode
from edgecnn.bundle.limits import MAX_BAD
from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError, SourceError, SourceWarning
from edgecnn.hints import few
from edgecnn.pipeline.data.images import ChosenImages, Images

TEST_FRACTION = 0.2
"""Share of the images in the test split if a source is split by content hash."""


@dataclass(frozen=True)
class Split:
    """Images of a source with their targets, in a fixed order.

    Attributes:
        source: name of the source, not a path.
        name: `train` or `test`.
        images: the images, read on demand.
        targets: int64 [N], or for several labels int64 [N, K] of 0 and 1; None if unknown.
        root: the folder that image names are relative to. Records do not contain it.
        strict: whether skipped images and missing classes are errors instead of warnings.
    """

    source: str
    name: str
    images: Images
    targets: np.ndarray | None
    root: Path | None = None
    strict: bool = False

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

    def decoded(
        self, indices: Iterable[int], preprocessing: Preprocessing
    ) -> tuple[list[np.ndarray], dict[int, ImageError]]:
        """Return the images that can be decoded, preprocessed, uint8 [H, W, C], and the errors of the others."""
        pixels: list[np.ndarray] = []
        errors: dict[int, ImageError] = {}
        for index in indices:
            try:
                pixels.append(preprocessing.image(self.images[int(index)]))
            except ImageError as error:
                errors[int(index)] = error
        return pixels, errors

    def without(self, errors: Mapping[int, ImageError], *, max_bad: float = MAX_BAD, hint: str = "") -> "Split":
        """Return the split without the images that cannot be decoded.

        Warns:
            SourceWarning: images are skipped. The message names the first ones.

        Raises:
            SourceError: the share of these images exceeds `max_bad`, or warnings are errors (`strict`).
        """
        if not errors:
            return self
        what = f"{len(errors)} of {len(self)} images of {self.source} cannot be decoded"
        reasons = few([f"{self.name_of(index)}: {_reason(error)}" for index, error in errors.items()], separator="; ")
        most = max(1, math.floor(max_bad * len(self))) if max_bad else 0
        if len(errors) > most or len(errors) == len(self):
            raise SourceError(
                f"{what} ({reasons}), at most {max_bad:.0%} may be skipped: repair or remove these files{hint}"
            )
        report(f"{what} and are skipped ({reasons})", strict=self.strict)
        return self.subset([index for index in range(len(self)) if index not in errors])

    def take(self, indices: Iterable[int], count: int) -> "Split":
        """Return the first `count` of these images that can be decoded; fewer if there are not as many.

        Warns, Raises: see `without`.
        """
        chosen: list[int] = []
        errors: dict[int, ImageError] = {}
        for index in indices:
            if len(chosen) == count:
                break
            try:
                decode(self.images[index], "RGBA")  # the mode that takes every image
            except ImageError as error:
                errors[index] = error
            else:
                chosen.append(index)
        self.without(errors)
        return self.subset(chosen)

    def name_of(self, index: int) -> str:
        """Return an image's path within the source, or its number. Bytes that are not UTF-8 are escaped."""
        image = self.images[index]
        if not isinstance(image, Path):
            return f"{self.name} image {index}"
        name = "/".join(image.parts[-3:]) if self.root is None else image.relative_to(self.root).as_posix()
        return os.fsencode(name).decode("utf-8", "backslashreplace")

    def all_pixels(self, preprocessing: Preprocessing) -> np.ndarray:
        """Return all images, preprocessed, as uint8 [N, H, W, C]."""
        return self.pixels(range(len(self)), preprocessing)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Split":
        """Return the images at these indices, in this order, as a split of the same name."""
        chosen = [int(index) for index in indices]
        targets = None if self.targets is None else self.targets[chosen]
        return dataclasses.replace(self, images=ChosenImages(self.images, chosen), targets=targets)

    def by_content(self, name: str) -> "Split":
        """Return the `train` or `test` images of a source without a split, chosen by image content.

        An image keeps its split when images are added. Copies of an image are always in the same split.
        """
        return self.subset([i for i in range(len(self)) if is_test(self.images.digest(i)) == (name == "test")])

    def parted(self, fraction: float) -> tuple["Split", "Split"]:
        """Split off about this fraction of the images, class by class. Return the remaining images, then the others.

        The choice depends on the content of the images only. Copies of an image are in the same part, and each class
        keeps at least two images, if it has them.
        """
        digests = [self.images.digest(index) for index in range(len(self))]
        targets = self.groups
        members: dict[int, list[bytes]] = {}  # class -> its images
        for digest, target in zip(digests, targets.tolist(), strict=True):
            members.setdefault(target, []).append(digest)
        # `is_test` uses the first eight bytes of the digest.
        shares = {target: fraction * len(of_class) for target, of_class in members.items()}
        counts = {target: math.floor(share) for target, share in shares.items()}
        by_remainder = sorted(shares, key=lambda target: (counts[target] - shares[target], members[target][0][8:16]))
        for target in by_remainder[: round(sum(shares.values())) - sum(counts.values())]:
            counts[target] += 1
        cut: set[bytes] = set()
        for target, of_class in members.items():
            left = min(counts[target], len(of_class) - 2)
            for digest, copies in sorted(Counter(of_class).items(), key=lambda item: item[0][8:16]):
                if copies <= left:
                    cut.add(digest)
                    left -= copies
        is_cut = np.array([digest in cut for digest in digests], bool)
        return self.subset(np.flatnonzero(~is_cut)), self.subset(np.flatnonzero(is_cut))

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.targets is not None and self.targets.ndim == 2

    @cached_property
    def groups(self) -> np.ndarray:
        """The class of each image, int64 [N], to choose images evenly. All are in class 0 if the targets are unknown.

        An image with several labels is in the class of its rarest label; those without labels are in one more class.
        """
        if self.targets is None:
            return np.zeros(len(self), np.int64)
        if self.targets.ndim == 1:
            return self.targets
        counts = np.where(self.targets == 1, self.targets.sum(axis=0), len(self) + 1)
        groups: np.ndarray = np.where(self.targets.any(axis=1), counts.argmin(axis=1), self.targets.shape[1])
        return groups

    def known_targets(self) -> np.ndarray:
        """Return the class of each image, int64 [N].

        Raises:
            SourceError: the images have no classes, or several labels.
        """
        if self.targets is None:
            raise SourceError(f"the images of {self.source} have no classes: pass labelled images")
        if self.has_several_labels:
            raise SourceError(
                f"the images of {self.source} have several labels: expected one class per image, as in an image folder"
            )
        return self.targets

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every image's content and target, in order."""
        whole = hashlib.sha256()
        for index in range(len(self)):
            whole.update(self.images.digest(index))
            if self.targets is not None:
                whole.update(self.targets[index : index + 1].astype(">u4").tobytes())
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


def report(message: str, *, strict: bool) -> None:
    """Issue a `SourceWarning`, or raise it as a `SourceError` if `strict` is set."""
    if strict:
        raise SourceError(message)
    warnings.warn(message, SourceWarning, stacklevel=2)


def split_by_content(everything: Split, name: str, *, place: object, remedy: str) -> Split:
    """Return the `train` or `test` images of a source without a split; see `Split.by_content`.

    Raises:
        SourceError: there are none. The message names the `place` of the images, and what to do.
    """
    chosen = everything.by_content(name)
    if not len(chosen):
        raise SourceError(f"{place} has {len(everything)} images, too few for a {name} split: {remedy}")
    return chosen


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


def _reason(error: ImageError) -> str:
    """Return an error's message without the path before it."""
    return str(error).partition(" is ")[2] or str(error)
