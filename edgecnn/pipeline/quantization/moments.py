"""Second moments of what a layer's weights are multiplied with: how its rounding errors add up."""

import math

import numpy as np
import onnx

from edgecnn.pipeline.quantization.placement import attribute
from edgecnn.pipeline.quantization.plan import ActivationQuantization

BLOCK = 576
"""Inputs whose correlations are kept: 64 channels of a 3 × 3 kernel. Memory is inputs · block, not inputs²."""

_PER_IMAGE = 32  # places of an image that are looked at; neighbours tell much the same
_PORTION = 8  # images that are added at once: the sums are then the same whatever the batches are


class Moments:
    """Observes the input of a convolution or linear layer.

    A layer's error on an input x is (W - Ŵ)x, so its mean square needs no more than the mean of x xᵀ. Here x is the
    quantized input; what quantizing it has done to its mean is kept apart.
    """

    def __init__(self, node: onnx.NodeProto, weights: tuple[int, ...], quantization: ActivationQuantization) -> None:
        self._quantization = quantization
        self._window = _Window(node, weights[2:]) if node.op_type == "Conv" else None
        width = math.prod(weights[1:])
        sizes = [min(BLOCK, width - start) for start in range(0, width, BLOCK)]
        self._sums = [np.zeros((size + 1, size + 1), np.float32) for size in sizes]
        self._shift = np.zeros(width)
        self._count = 0
        self._waiting: list[np.ndarray] = []
        self._random = np.random.default_rng(0)

    def update(self, values: np.ndarray) -> None:
        """Take some images' inputs: float32 [N, C, H, W] of a convolution, [N, K] of a linear layer."""
        for image in values:
            seen = image[None] if self._window is None else self._window.sample(image, _PER_IMAGE, self._random)
            self._waiting.append(seen)
            if len(self._waiting) == _PORTION:
                self._add()

    def means(self) -> list[np.ndarray]:
        """Return the mean of [x; 1][x; 1]ᵀ for each block of inputs, float32 [B + 1, B + 1]."""
        self._add()
        return [total / self._count for total in self._sums]

    def shift(self) -> np.ndarray:
        """Return the mean of x - x̂, the inputs less the quantized ones, float64 [K]."""
        self._add()
        return self._shift / self._count

    def _add(self) -> None:
        if not self._waiting:
            return
        exact = np.concatenate(self._waiting)
        self._waiting.clear()
        inputs = self._quantization.rounded(exact)
        self._shift += (exact - inputs).sum(axis=0, dtype=np.float64)
        self._count += len(inputs)
        start = 0
        for total in self._sums:
            block = np.ones((len(inputs), len(total)), np.float32)
            block[:, :-1] = inputs[:, start : start + len(total) - 1]
            np.add(total, block.T @ block, out=total)
            start += len(total) - 1


class _Window:
    """What a convolution's kernel sees, at places drawn at random."""

    def __init__(self, node: onnx.NodeProto, kernel: tuple[int, ...]) -> None:
        self._kernel = kernel
        self._strides = attribute(node, "strides", [1, 1])
        self._dilations = attribute(node, "dilations", [1, 1])
        top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
        self._pads = ((0, 0), (top, bottom), (left, right))

    def sample(self, image: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Return what the kernel sees of float32 [C, H, W], as [count, C · kernel]; fewer where there are no more."""
        padded = np.pad(image, self._pads)
        spans = [(size - 1) * step + 1 for size, step in zip(self._kernel, self._dilations, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))
        windows = windows[:, :: self._strides[0], :: self._strides[1], :: self._dilations[0], :: self._dilations[1]]
        height, width = windows.shape[1:3]
        places = random.permutation(height * width)[:count]
        seen = windows[:, places // width, places % width]  # [C, count, kh, kw]
        return np.ascontiguousarray(seen.transpose(1, 0, 2, 3)).reshape(len(places), -1)
