"""Image files through a session: threads decode the next images while the engine runs the ones before.

Each thread decodes a few images and runs them itself, so that no more threads want a core than there are: handing
decoded images to others costs a twentieth, since decoder and engine then take turns on the same core and its cache.
Pillow decodes and resizes outside of Python's lock, engines run outside of it too.
"""

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError
from edgecnn.runtime.engines.backend import Session
from edgecnn.runtime.streaming import in_order

CHUNK = 8
"""Images of a batch: more gain nothing on a CPU, and let the caller wait longer for the first."""


@dataclass(frozen=True)
class Answered:
    """Logits, float32 [M, K], of the images that could be decoded; and for each image its error, or None."""

    logits: np.ndarray
    errors: tuple[ImageError | None, ...]


def run_images(
    session: Session, images: Iterable[ImageLike], preprocessing: Preprocessing, *, workers: int
) -> Iterator[Answered]:
    """Decode, preprocess and run images, and yield the answers in their order, a few images at a time.

    Images are taken in the caller's thread, a few batches ahead; `workers` threads decode them.

    Raises:
        EngineError: the engine failed.
    """
    room = threading.Semaphore(session.concurrency)

    def answer(chunk: list[ImageLike]) -> Answered:
        pixels, errors = _decode(chunk, preprocessing)
        if not len(pixels):
            return Answered(np.empty((0, 0), np.float32), errors)
        with room:
            return Answered(session.run(pixels), errors)

    return in_order(answer, _chunks(images, workers), threads=workers, ahead=2 * workers)


def _decode(images: list[ImageLike], preprocessing: Preprocessing) -> tuple[np.ndarray, tuple[ImageError | None, ...]]:
    """Return the pixels of those that can be decoded, uint8 [M, H, W, C], and for each image its error or None."""
    pixels = np.empty((0, 0, 0, 0), np.uint8)
    errors: list[ImageError | None] = []
    for image in images:
        try:
            found = preprocessing.image(image)
        except ImageError as error:
            errors.append(error)
            continue
        if not len(pixels):
            pixels = np.empty((len(images), *found.shape), np.uint8)
        pixels[errors.count(None)] = found
        errors.append(None)
    return pixels[: errors.count(None)], tuple(errors)


def _chunks(images: Iterable[ImageLike], workers: int) -> Iterator[list[ImageLike]]:
    """Part images into batches, smaller ones towards an end that is known, so that no thread is left alone with many.

    Polychronopoulos and Kuck, Guided Self-Scheduling, 1987.
    """
    left = len(images) if isinstance(images, Sequence) else None
    rest = iter(images)
    while True:
        share = CHUNK if left is None else -(-left // workers)
        chunk = list(itertools.islice(rest, max(1, min(CHUNK, share))))
        if not chunk:
            return
        yield chunk
        left = None if left is None else left - len(chunk)
