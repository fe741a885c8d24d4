"""Runs every image of a split through one or more sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.progress import Progress, silent
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session

_CHUNK = 256


class EvaluationImages(Protocol):
    """Images in a fixed order, with or without targets, such as a split of a data source."""

    @property
    def targets(self) -> np.ndarray | None:
        """The class of each image, int64 [N]; None if unknown."""
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

    def name_of(self, index: int, /) -> str:
        """Return the name of an image for reports."""
        ...

    def reference(self) -> DataReference:
        """Return a description of these images for a record."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Logits of several sessions, float32 [N, K] by name, on the same images. `targets` is int64 [N], or None."""

    data: DataReference
    targets: np.ndarray | None
    logits: dict[str, np.ndarray]


def evaluate(
    sessions: Mapping[str, Session],
    images: EvaluationImages,
    preprocessing: Preprocessing,
    *,
    classes: int,
    progress: Progress = silent,
) -> Evaluation:
    """Run all images, at least one, through several sessions, 256 at a time. `classes` is the number of logits, K.

    Raises:
        SourceError: an image cannot be decoded.
        EngineError: an engine failed.
    """
    chunks: dict[str, list[np.ndarray]] = {name: [] for name in sessions}
    for start in range(0, len(images), _CHUNK):
        progress("evaluating", start, len(images))
        pixels = images.pixels(range(start, min(start + _CHUNK, len(images))), preprocessing)
        for name, session in sessions.items():
            chunks[name].append(run_batches(session, pixels, classes=classes))
    progress("evaluating", len(images), len(images))
    logits = {name: np.concatenate(parts) for name, parts in chunks.items()}
    return Evaluation(images.reference(), images.targets, logits)
