"""Weights of linear layers in 4 bits: each block of 128 weights of an output has its own scale and zero point."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.four_bits import BLOCK, LARGEST, blocks_of, per_column
from edgecnn.pipeline.quantization.steps import Steps

_SHRINKINGS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Parts of a block's range that are tried. A smaller range clips the largest weights and rounds the others finer."""

_PORTION = 1 << 20  # weights per portion, which limits the memory of the search


@dataclass(frozen=True)
class BlockWeights:
    """The weights of a linear layer with O outputs and K inputs: scale · (integer - zero point).

    Attributes:
        scales: float32 [O, B].
        zero_points: uint8 [O, B], 0..15.
        integers: uint8 [O, K], 0..15.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    integers: np.ndarray

    def rounded(self) -> np.ndarray:
        """Return the weights after rounding, float32 [O, K]."""
        columns = self.integers.shape[1]
        centred = self.integers.astype(np.float32) - per_column(self.zero_points, columns)
        result: np.ndarray = centred * per_column(self.scales, columns)
        return result


def block_weights(steps: Steps, integers: np.ndarray) -> BlockWeights:
    """Return weights from the integers of `block_steps`, int8 [O, K]."""
    zero_points = (-steps.low).astype(np.uint8)
    return BlockWeights(
        steps.scales, zero_points, (integers + per_column(-steps.low, integers.shape[1])).astype(np.uint8)
    )


def block_steps(weights: np.ndarray) -> Steps:
    """Return the steps of 4-bit weights, float32 [O, K].

    The range of a block is the part of its weights' range at which the mean square error of rounding to the nearest
    step is smallest (Banner et al., Post Training 4-bit Quantization of Convolutional Networks for Rapid-Deployment,
    2019, section 3). It contains zero.
    """
    outputs, columns = weights.shape
    blocks = blocks_of(columns)
    scales, low = np.empty((outputs, blocks), np.float32), np.empty((outputs, blocks), np.int8)
    rows = max(1, _PORTION // columns)
    for start in range(0, outputs, rows):
        part = np.pad(weights[start : start + rows], ((0, 0), (0, blocks * BLOCK - columns)))
        scales[start : start + rows], low[start : start + rows] = _best(part.reshape(len(part), blocks, BLOCK))
    return Steps(scales, low, (low + LARGEST).astype(np.int8), BLOCK)


def _best(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale and the smallest integer of each block of [O, B, 128]."""
    ends = np.minimum(weights.min(axis=2), 0), np.maximum(weights.max(axis=2), 0)
    found = [_step(ends[0] * part, ends[1] * part) for part in _SHRINKINGS]
    errors = np.stack([_error(weights, *each) for each in found])
    best = errors.argmin(axis=0)[None]
    scales, low = (np.take_along_axis(np.stack(each), best, 0)[0] for each in zip(*found, strict=True))
    return scales, low


def _step(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scales = ((high - low) / LARGEST).astype(np.float32)
    scales[scales < np.finfo(np.float32).tiny] = 1.0  # all zeros: any scale works
    return scales, np.clip(np.rint(low / scales), -LARGEST, 0).astype(np.int8)


def _error(weights: np.ndarray, scales: np.ndarray, low: np.ndarray) -> np.ndarray:
    steps, lowest = scales[:, :, None], low[:, :, None].astype(np.float32)
    integers = np.clip(np.rint(weights / steps), lowest, lowest + LARGEST)
    error: np.ndarray = ((integers * steps - weights) ** 2).sum(axis=2)
    return error
