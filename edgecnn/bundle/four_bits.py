"""Weights of linear layers in 4 bits, as ONNX Runtime's operator MatMulNBits stores them.

A block is 128 neighbouring weights of one output, with a scale and a zero point: a weight is
scale · (integer - zero point). ONNX Runtime's ContribOperators.md specifies the operator, "com.microsoft.MatMulNBits".
OpenVINO supports it too.
"""

import numpy as np

DOMAIN, OPERATOR = "com.microsoft", "MatMulNBits"
BLOCK = 128
"""Weights per scale and zero point."""

LARGEST = 15
"""Largest integer and largest zero point. The smallest is 0."""


def blocks_of(columns: int) -> int:
    """Return the number of blocks of an output with this number of weights. The last block may be shorter."""
    return -(-columns // BLOCK)


def pack(integers: np.ndarray) -> np.ndarray:
    """Pack weights, uint8 [N, K] of 0..15, as uint8 [N, ceil(K / 128), 64]. Padding is 0."""
    outputs, columns = integers.shape
    padded = np.zeros((outputs, blocks_of(columns) * BLOCK), np.uint8)
    padded[:, :columns] = integers
    return _pairs(padded).reshape(outputs, -1, BLOCK // 2)


def unpack(packed: np.ndarray, columns: int) -> np.ndarray:
    """Return the weights of `pack`, uint8 [N, K]."""
    return _singles(packed.reshape(len(packed), -1))[:, :columns]


def pack_zero_points(zero_points: np.ndarray) -> np.ndarray:
    """Pack zero points, uint8 [N, B] of 0..15, as uint8 [N, ceil(B / 2)]. Padding is 0."""
    return _pairs(np.pad(zero_points, ((0, 0), (0, zero_points.shape[1] % 2))))


def dequantized(packed: np.ndarray, scales: np.ndarray, zero_points: np.ndarray, columns: int) -> np.ndarray:
    """Return weights as the operator computes with them.

    Args:
        packed: see `pack`.
        scales: float32, N · B numbers for N outputs with B blocks.
        zero_points: see `pack_zero_points`; its numbers in any shape.
        columns: K.

    Returns:
        float32 [N, K].

    Raises:
        ValueError: the shapes contradict each other.
    """
    outputs, blocks = len(packed), blocks_of(columns)
    zeros = _singles(zero_points.reshape(outputs, -1))[:, :blocks]
    centred = unpack(packed, columns).astype(np.float32) - per_column(zeros, columns)
    result: np.ndarray = centred * per_column(scales.reshape(outputs, blocks), columns)
    return result


def per_column(of_blocks: np.ndarray, columns: int) -> np.ndarray:
    """Return numbers of blocks, [N, B], for each of their columns, [N, K]."""
    return of_blocks.repeat(BLOCK, axis=1)[:, :columns]


def _pairs(numbers: np.ndarray) -> np.ndarray:
    """Pack two neighbours of the last axis in a byte, the first in the lower half."""
    packed: np.ndarray = numbers[:, 0::2] | numbers[:, 1::2] << 4
    return packed


def _singles(packed: np.ndarray) -> np.ndarray:
    numbers = np.empty((len(packed), 2 * packed.shape[1]), np.uint8)
    numbers[:, 0::2], numbers[:, 1::2] = packed & 15, packed >> 4
    return numbers
