"""Images decoded ahead of the engine, by threads: while it runs one batch, the next ones are made ready.

Pillow decodes and resizes outside of Python's lock, so that threads really share the cores.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError

CHUNK = 8
"""Images of a batch: more gain nothing on a CPU, and let the engine wait longer for the first."""


@dataclass(frozen=True)
class Decoded:
    """Some images, made ready.

    Attributes:
        pixels: uint8 [M, H, W, C], those that could be decoded.
        errors: for each image, what was wrong with it, or None.
    """

    pixels: np.ndarray
    errors: tuple[ImageError | None, ...]


def decode_ahead(images: Iterable[ImageLike], preprocessing: Preprocessing, *, workers: int) -> Iterator[Decoded]:
    """Decode and preprocess images in their order, a batch at a time.

    Args:
        images: drawn in the caller's thread, a few batches ahead.
        preprocessing: what each of them goes through.
        workers: how many threads decode.
    """
    size = CHUNK
    if isinstance(images, Sequence):  # few images are shared between the threads as well
        size = max(1, min(CHUNK, -(-len(images) // (2 * workers))))
    rest = iter(images)
    chunks = iter(lambda: list(itertools.islice(rest, size)), [])
    waiting: deque[Future[Decoded]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="edgecnn-decode") as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_decode, chunk, preprocessing))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _decode(images: list[ImageLike], preprocessing: Preprocessing) -> Decoded:
    pixels: list[np.ndarray] = []
    errors: list[ImageError | None] = []
    for image in images:
        try:
            pixels.append(preprocessing.image(image))
            errors.append(None)
        except ImageError as error:
            errors.append(error)
    return Decoded(np.stack(pixels) if pixels else np.empty((0, 0, 0, 0), np.uint8), tuple(errors))
