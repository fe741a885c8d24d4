"""Runs every image of a split through one or more sessions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError
from edgecnn.progress import Progress, silent
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session

_CHUNK = 256


class EvaluationImages(Protocol):
    """Images in a fixed order, with or without targets, such as a split of a data source."""

    @property
    def targets(self) -> np.ndarray | None:
        """The class of each image, int64 [N], or its labels, int64 [N, K] of 0 and 1; None if unknown."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def pixels(self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing, /) -> np.ndarray:
        """Return some images, read and preprocessed, as uint8 [N, H, W, C].

        Raises:
            SourceError: an image cannot be decoded.
        """
        ...

    def decoded(
        self, indices: Iterable[int], preprocessing: Preprocessing, /
    ) -> tuple[list[np.ndarray], dict[int, ImageError]]:
        """Return the images that can be decoded, preprocessed, uint8 [H, W, C], and the errors of the others."""
        ...

    def without(self, errors: Mapping[int, ImageError], /) -> Self:
        """Return the images without those that cannot be decoded.

        Raises:
            SourceError: there are too many.
        """
        ...

    def name_of(self, index: int, /) -> str:
        """Return the name of an image for reports."""
        ...

    def reference(self) -> DataReference:
        """Return a description of these images for a record."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Logits of several sessions, float32 [N, K] by name, on the same images, which can all be decoded."""

    images: EvaluationImages
    logits: dict[str, np.ndarray]

    @property
    def targets(self) -> np.ndarray | None:
        """See `EvaluationImages.targets`."""
        return self.images.targets

    @cached_property
    def data(self) -> DataReference:
        """The identity of the images."""
        return self.images.reference()


def evaluate(
    sessions: Mapping[str, Session],
    images: EvaluationImages,
    preprocessing: Preprocessing,
    *,
    classes: int,
    progress: Progress = silent,
) -> Evaluation:
    """Run all images, at least one, through several sessions, 256 at a time. `classes` is the number of logits, K.

    Images that cannot be decoded are skipped; see `EvaluationImages.without`.

    Raises:
        SourceError: too many images cannot be decoded.
        EngineError: an engine failed.
    """
    chunks: dict[str, list[np.ndarray]] = {name: [] for name in sessions}
    errors: dict[int, ImageError] = {}
    for start in range(0, len(images), _CHUNK):
        progress("evaluating", start, len(images))
        pixels, failed = images.decoded(range(start, min(start + _CHUNK, len(images))), preprocessing)
        errors |= failed
        for name, session in sessions.items() if pixels else ():
            chunks[name].append(run_batches(session, np.stack(pixels), classes=classes))
    progress("evaluating", len(images), len(images))
    intact = images.without(errors)
    return Evaluation(intact, {name: np.concatenate(parts) for name, parts in chunks.items()})
