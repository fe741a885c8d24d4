"""The values that the weights of a layer can take: whole multiples of a scale, between two limits."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Steps:
    """The values of the weights of O outputs: scale · integer. Each output has one scale for every `block` columns.

    Attributes:
        scales: float32 [O, B].
        low: smallest integer, int8 [O, B].
        high: largest integer, int8 [O, B].
        block: columns with the same scale and limits, the last block may be shorter; None for all columns.
    """

    scales: np.ndarray
    low: np.ndarray
    high: np.ndarray
    block: int | None = None

    def of_columns(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scales (float64) and limits of these columns: [O, columns], or [O, 1] if all columns share them."""
        places = np.zeros(1, np.intp) if self.block is None else np.arange(start, end) // self.block
        return self.scales[:, places].astype(np.float64), self.low[:, places], self.high[:, places]

    def nearest(self, weights: np.ndarray) -> np.ndarray:
        """Return the integer of the nearest value for each weight, int8 of the shape [O, …] of the weights."""
        scales, low, high = self.of_columns(0, weights[0].size)
        columns = weights.reshape(len(weights), -1)
        integers: np.ndarray = np.clip(np.rint(columns / scales), low, high).astype(np.int8)
        return integers.reshape(weights.shape)


def symmetric(scales: np.ndarray, limit: int) -> Steps:
    """Return the steps of weights with one scale per output, float32 [O], and integers up to ±`limit`."""
    limits = np.full((len(scales), 1), limit, np.int8)
    return Steps(scales[:, None], -limits, limits)
