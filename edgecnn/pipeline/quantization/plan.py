"""The `QuantizationPlan`: what stands between calibration and the rewritten graph, and nothing else.

Observers make it, corrections and the search change it, the rewriter applies it. Affine quantization as in Jacob et
al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, 2018 (section 2.1):
real = scale · (integer - zero_point).
"""

from dataclasses import dataclass

import numpy as np

_BIAS_LIMIT = 2**30
"""Half of int32: the other half is for the sum of the products."""
FULL_RANGE = 127
PORTABLE_RANGE = 64
"""Largest weight magnitude at which two products with uint8 cannot overflow 16 bits: 2 · 255 · 64 = 32,640."""


@dataclass(frozen=True)
class ActivationQuantization:
    """One scale and zero point for a whole tensor of uint8."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class WeightQuantization:
    """One scale for each output channel (axis 0) of signed 8-bit weights without zero point; `limit` bounds them."""

    scales: np.ndarray
    limit: int


@dataclass(frozen=True)
class QuantizationPlan:
    """Which tensors are quantized, and how.

    Attributes:
        activations: tensor name to quantization.
        weights: initializer name to quantization.
        float_tensors: what stays in float32, and why.
    """

    activations: dict[str, ActivationQuantization]
    weights: dict[str, WeightQuantization]
    float_tensors: dict[str, str]


def activation_quantization(low: float, high: float) -> ActivationQuantization:
    """Fit uint8 to a range; zero is always exactly representable, so that padding is exact (Jacob et al., 2.1)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    if scale < np.finfo(np.float32).tiny:  # a tensor of zeros: it needs no scale, but ONNX forbids 0
        scale = 1.0
    return ActivationQuantization(scale, int(np.clip(round(-low / scale), 0, 255)))


def weight_quantization(
    weights: np.ndarray, limit: int, *, bias: np.ndarray | None = None, input_scale: float = 1.0
) -> WeightQuantization:
    """Fit each output channel (axis 0) to -limit..limit by its largest magnitude.

    A bias is an int32 with the scale `input_scale` · weight scale. Where a channel is all but dead, its weights' scale
    would be so small that the bias overflows; then the bias decides, and takes the upper half of the range.
    """
    scales = np.abs(weights.reshape(len(weights), -1)).max(axis=1).astype(np.float64) / limit
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * _BIAS_LIMIT))
    scales[scales < np.finfo(np.float32).tiny] = 1.0  # nothing but zeros: they need no scale, but ONNX forbids 0
    return WeightQuantization(scales.astype(np.float32), limit)
