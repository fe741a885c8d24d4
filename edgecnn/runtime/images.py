"""Runs image files through a session: threads decode the next images while the engine runs.

Each thread decodes a few images and runs them itself, so that threads never outnumber cores. Passing decoded images
to another thread is about 5 % slower, because decoder and engine then compete for a core and its cache. Pillow and the
engines release Python's global interpreter lock.
"""

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError
from edgecnn.prediction import Stage
from edgecnn.runtime.cascade import run_stages
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.streaming import in_order

BATCH = 8
"""Images of one batch. Larger batches are not faster on a CPU, and delay the first answer."""

Item = ImageLike | ImageError
"""An image, or why it could not be read."""


@dataclass(frozen=True)
class BatchResult:
    """The answers to a few images.

    Attributes:
        logits: float32 [M, K], of the decoded images.
        stages: for each decoded image the graph of a cascade that answered it; None without a cascade.
        errors: for each image its error, or None.
    """

    logits: np.ndarray
    stages: tuple[Stage | None, ...]
    errors: tuple[ImageError | None, ...]


def answer_batches(
    session: Session, batches: Iterable[Sequence[Item]], preprocessing: Preprocessing, *, workers: int
) -> Iterator[BatchResult]:
    """Decode, preprocess and run batches of images. Yield the answers to each batch in order.

    Batches are read in the caller's thread, `2 * workers` of them ahead; `workers` threads decode them.

    Raises:
        EngineError: the engine failed.
    """
    room = threading.Semaphore(session.instances)

    def answer(batch: Sequence[Item]) -> BatchResult:
        pixels, errors = _decode(batch, preprocessing)
        if not len(pixels):
            return BatchResult(np.empty((0, 0), np.float32), (), errors)
        with room:
            return BatchResult(*run_stages(session, pixels), errors)

    return in_order(answer, batches, threads=workers, ahead=2 * workers)


def _decode(images: Sequence[Item], preprocessing: Preprocessing) -> tuple[np.ndarray, tuple[ImageError | None, ...]]:
    """Return the pixels of the decoded images, uint8 [M, H, W, C], and for each image its error or None."""
    pixels = np.empty((0, 0, 0, 0), np.uint8)
    errors: list[ImageError | None] = []
    for image in images:
        try:
            if isinstance(image, ImageError):
                raise image
            found = preprocessing.image(image)
        except ImageError as error:
            errors.append(error)
            continue
        if not len(pixels):
            pixels = np.empty((len(images), *found.shape), np.uint8)
        pixels[errors.count(None)] = found
        errors.append(None)
    return pixels[: errors.count(None)], tuple(errors)


def batches_of(images: Iterable[Item], workers: int) -> Iterator[list[Item]]:
    """Split images into batches, smaller ones near the end if the number is known, to balance the threads' work.

    See Polychronopoulos and Kuck, Guided Self-Scheduling, 1987.
    """
    left = len(images) if isinstance(images, Sequence) else None
    rest = iter(images)
    while True:
        share = BATCH if left is None else -(-left // workers)
        batch = list(itertools.islice(rest, max(1, min(BATCH, share))))
        if not batch:
            return
        yield batch
        left = None if left is None else left - len(batch)
