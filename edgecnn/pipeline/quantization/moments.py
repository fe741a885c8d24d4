"""Second moments of a layer's inputs. They determine how rounding errors add up."""

import math

import numpy as np
import onnx

from edgecnn.errors import EngineError
from edgecnn.pipeline.canonical.nodes import attribute
from edgecnn.pipeline.quantization.plan import ActivationQuantization

BLOCK = 576
"""Inputs per correlation block: 64 channels of a 3 × 3 kernel. Memory is inputs · block instead of inputs²."""

_PER_IMAGE = 32  # sampled positions per image; neighbours are strongly correlated
_PORTION = 8  # images per addition; a fixed number makes the sums independent of the batch size
_PORTION_OF_GROUPS = 1  # a group's windows take more memory than its moments


class Moments:
    """Observes the input of a convolution or linear layer. Each of its G groups reads K inputs.

    A layer's error for an input x is (W - Ŵ)x, so its mean square depends only on the mean of x xᵀ. Here x is the
    quantized input, or the float input if `quantization` is None; `shift` is the effect of quantization on the mean.
    """

    def __init__(
        self, node: onnx.NodeProto, weights: tuple[int, ...], quantization: ActivationQuantization | None
    ) -> None:
        self._input = node.input[0]
        self._quantization = quantization
        self._window = _Window(node, weights[2:]) if node.op_type == "Conv" else None
        self._groups = attribute(node, "group", 1)
        self._portion = _PORTION if self._groups == 1 else _PORTION_OF_GROUPS
        width = math.prod(weights[1:])
        sizes = [min(BLOCK, width - start) for start in range(0, width, BLOCK)]
        self._sums = [np.zeros((self._groups, size + 1, size + 1), np.float32) for size in sizes]
        self._shift = np.zeros((self._groups, width))
        self._count = 0
        self._waiting: list[np.ndarray] = []
        self._random = np.random.default_rng(0)

    def update(self, values: np.ndarray) -> None:
        """Add the inputs of some images: float32 [N, C, H, W] for a convolution, [N, K] for a linear layer."""
        for image in values:
            seen = image[None] if self._window is None else self._window.sample(image, _PER_IMAGE, self._random)
            self._waiting.append(seen)
            if len(self._waiting) == self._portion:
                self._add()

    def means(self) -> list[np.ndarray]:
        """Return the mean of [x; 1][x; 1]ᵀ for each block of a group's inputs, float32 [G, B + 1, B + 1].

        Raises:
            EngineError: the square of an input exceeds float32.
        """
        self._add()
        if not all(np.isfinite(total).all() for total in self._sums):
            raise EngineError(
                f"{self._input} has values beyond 1e18 on the calibration images, and their squares exceed float32: "
                f"train or export the network again"
            )
        return [total / self._count for total in self._sums]

    def shift(self) -> np.ndarray:
        """Return the mean of x - x̂, the inputs minus the quantized inputs, float64 [G, K]."""
        self._add()
        return self._shift / self._count

    def _add(self) -> None:
        if not self._waiting:
            return
        exact = np.concatenate(self._waiting)
        exact = exact.reshape(len(exact), *self._shift.shape)  # [N, G, K]
        self._waiting.clear()
        inputs = exact if self._quantization is None else self._quantization.rounded(exact)
        self._shift += (exact - inputs).sum(axis=0, dtype=np.float64)
        self._count += len(inputs)
        start = 0
        for total in self._sums:
            size = total.shape[1] - 1
            block = np.ones((self._groups, len(inputs), size + 1), np.float32)
            block[:, :, :-1] = inputs[:, :, start : start + size].transpose(1, 0, 2)
            with np.errstate(over="ignore", invalid="ignore"):  # `means` reports the overflow
                np.add(total, block.transpose(0, 2, 1) @ block, out=total)
            start += size


class _Window:
    """Samples the windows of a convolution at random positions."""

    def __init__(self, node: onnx.NodeProto, kernel: tuple[int, ...]) -> None:
        self._kernel = kernel
        self._strides = attribute(node, "strides", [1, 1])
        self._dilations = attribute(node, "dilations", [1, 1])
        top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
        self._pads = ((0, 0), (top, bottom), (left, right))

    def sample(self, image: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Return up to `count` windows of float32 [C, H, W], as [count, C · kernel]."""
        padded = np.pad(image, self._pads)
        spans = [(size - 1) * step + 1 for size, step in zip(self._kernel, self._dilations, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))
        windows = windows[:, :: self._strides[0], :: self._strides[1], :: self._dilations[0], :: self._dilations[1]]
        height, width = windows.shape[1:3]
        places = random.permutation(height * width)[:count]
        seen = windows[:, places // width, places % width]  # [C, count, kh, kw]
        return np.ascontiguousarray(seen.transpose(1, 0, 2, 3)).reshape(len(places), -1)
