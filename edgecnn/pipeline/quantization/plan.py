"""The `QuantizationPlan`, the result of calibration: real = scale · (integer - zero_point).

Affine quantization as in Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, 2018 (section 2.1).
"""

from dataclasses import dataclass, field

import numpy as np

from edgecnn.pipeline.quantization.block_weights import BlockWeights
from edgecnn.pipeline.quantization.steps import symmetric

_BIAS_LIMIT = 2**30
"""Half of int32's range. The other half is for the sum of the products."""


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of a tensor."""

    low: float
    high: float


@dataclass(frozen=True)
class ActivationQuantization:
    """The scale and zero point of a tensor: uint8, or int8 with zero point 0 if symmetric."""

    scale: float
    zero_point: int
    symmetric: bool = False

    @property
    def dtype(self) -> type[np.generic]:
        """Type of the integers."""
        return np.int8 if self.symmetric else np.uint8

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        return (-128, 127) if self.symmetric else (0, 255)

    @property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest representable value."""
        lowest, highest = self.limits
        return (lowest - self.zero_point) * self.scale, (highest - self.zero_point) * self.scale

    def integers(self, values: np.ndarray) -> np.ndarray:
        """Return the quantized integers, with the shape and type of the values."""
        result: np.ndarray = np.clip(np.rint(values / self.scale) + self.zero_point, *self.limits)
        return result

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Return the values after quantization and dequantization, in the same type."""
        result: np.ndarray = ((self.integers(values) - self.zero_point) * self.scale).astype(values.dtype)
        return result


@dataclass(frozen=True)
class WeightQuantization:
    """Weights as int8 integers of the same shape, with one float32 scale per output channel (axis 0)."""

    scales: np.ndarray
    integers: np.ndarray

    def rounded(self) -> np.ndarray:
        """Return the dequantized weights, float32."""
        column = self.scales.reshape(-1, *[1] * (self.integers.ndim - 1))
        result: np.ndarray = (self.integers * column).astype(np.float32)
        return result


@dataclass(frozen=True)
class QuantizationPlan:
    """The quantization of each tensor.

    Attributes:
        activations: tensor name to quantization.
        weights: initializer name to quantization.
        four_bits: initializer name to its weights in 4 bits.
        biases: initializer name to its new float values.
        float_tensors: tensor in float32 to the reason.
    """

    activations: dict[str, ActivationQuantization]
    weights: dict[str, WeightQuantization]
    float_tensors: dict[str, str]
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    four_bits: dict[str, BlockWeights] = field(default_factory=dict)


def activation_quantization(values: Range, *, symmetric: bool = False) -> ActivationQuantization:
    """Return 8-bit quantization for a range. Zero is exactly representable, so padding is exact (Jacob et al., 2.1)."""
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    scale = float(np.float32(max(-low, high) / 127 if symmetric else (high - low) / 255))
    if scale < np.finfo(np.float32).tiny:  # all zeros: any scale works, but ONNX forbids 0
        scale = 1.0
    zero_point = 0 if symmetric else int(np.clip(round(-low / scale), 0, 255))
    return ActivationQuantization(scale, zero_point, symmetric)


def weight_scales(
    weights: np.ndarray, limit: int, *, bias: np.ndarray | None = None, input_scale: float = 1.0
) -> np.ndarray:
    """Return the scale of each output channel (axis 0) so that its largest magnitude becomes `limit`, float32 [O].

    A bias is an int32 with the scale `input_scale` · weight scale. If the weights of a channel are almost zero, this
    scale would be too small and the bias would overflow. Then the bias determines the scale.
    """
    scales = np.abs(weights.reshape(len(weights), -1)).max(axis=1).astype(np.float64) / limit
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * _BIAS_LIMIT))
    scales[scales < np.finfo(np.float32).tiny] = 1.0  # all zeros: any scale works, but ONNX forbids 0
    result: np.ndarray = scales.astype(np.float32)
    return result


def nearest(weights: np.ndarray, scales: np.ndarray, limit: int) -> WeightQuantization:
    """Round every weight to the nearest integer step of its channel."""
    return WeightQuantization(scales, symmetric(scales, limit).nearest(weights))
