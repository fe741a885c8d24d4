"""Occlusion: how much the probability of a class falls where a gray patch covers the image.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgecnn.explaining.explanation import Attention
from edgecnn.explaining.pictures import draw
from edgecnn.progress import Progress, silent

_MOST_CELLS = 14
"""Most rows and columns of the result. A patch covers 2 × 2 cells, so its side is a seventh of the image's."""


def occlude(
    probabilities: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    gray: Sequence[int],
    *,
    batch: int = 8,
    progress: Progress = silent,
) -> np.ndarray:
    """Cover the image with a patch at up to 169 places, and run it each time.

    The image is divided into up to 14 × 14 cells of equal size, at most one for each pixel. A patch covers 2 × 2 cells,
    or all of fewer cells, and moves by one cell. The value of a cell is the mean drop over the patches that cover it.

    Args:
        probabilities: takes uint8 [N, H, W, C], and returns float [N, K].
        image: uint8 [H, W, C].
        gray: level of the patch for each channel: the mean of the normalization.
        batch: images of one run.
        progress: called after each run.

    Returns:
        The drops of the probabilities, float64 [rows, columns, K].
    """
    rows, columns = (_edges(side) for side in image.shape[:2])
    patches = [(row, column) for row in _spans(rows) for column in _spans(columns)]
    before = probabilities(image[None])[0]
    drops = np.zeros((len(rows) - 1, len(columns) - 1, len(before)))
    covered = np.zeros((*drops.shape[:2], 1))
    for start in range(0, len(patches), batch):
        part = patches[start : start + batch]
        images = np.repeat(image[None], len(part), axis=0)
        for each, (row, column) in zip(images, part, strict=True):
            each[rows[row.start] : rows[row.stop], columns[column.start] : columns[column.stop]] = gray
        for (row, column), after in zip(part, probabilities(images), strict=True):
            drops[row, column] += before - after
            covered[row, column] += 1
        progress("occlusion", start + len(part), len(patches))
    return drops / covered


def attention_of(drops: np.ndarray, target: int) -> Attention:
    """Draw the drops of one class; `drops` is the result of `occlude`."""
    own = drops[:, :, target]
    return Attention("occlusion", target, draw(own, min(0.0, float(own.min())), max(0.0, float(own.max()))))


def _edges(side: int) -> list[int]:
    """Return the borders of cells along a side, in pixels."""
    cells = min(_MOST_CELLS, side)
    return [round(cell * side / cells) for cell in range(cells + 1)]


def _spans(edges: list[int]) -> Iterator[slice]:
    """Yield the cells that each place of a patch covers along a side."""
    cells = len(edges) - 1
    for first in range(max(1, cells - 1)):
        yield slice(first, min(first + 2, cells))
