"""Feature maps and kernels of a layer, and the signal-to-noise ratio of two bundles."""

import math
from dataclasses import dataclass

import numpy as np

from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import FeatureMap, Kernels
from edgecnn.explaining.layers import GraphLayer
from edgecnn.explaining.pictures import draw, finite, reduced, short

_LARGEST_DB = 200.0
_COLOURS = 3


@dataclass(frozen=True)
class LayerValues:
    """The output of a layer for one image, in the explained bundle and in the compared one.

    Attributes:
        own: [C, H, W] or [K], float64.
        other: of the compared bundle, with the same shape; None without one, or if it has no such layer.
        is_other_exact: whether the compared bundle is the more exact one: FP32, and the explained one is not.
    """

    own: np.ndarray
    other: np.ndarray | None
    is_other_exact: bool = False

    @property
    def signal(self) -> np.ndarray:
        """The values of the more exact bundle."""
        return self.other if self.other is not None and self.is_other_exact else self.own

    @property
    def is_maps(self) -> bool:
        """Whether the output consists of maps [C, H, W] of more than one pixel."""
        return self.own.ndim == 3 and self.own.shape[1] * self.own.shape[2] > 1

    def snr_db(self) -> float | None:
        """Return the signal-to-noise ratio over all values: 10 log10(Σ signal² / Σ (signal - other)²)."""
        if self.other is None:
            return None
        signal = float(np.square(self.signal).sum())
        noise = float(np.square(self.own - self.other).sum())
        if noise == 0:
            return _LARGEST_DB
        ratio = signal / noise
        return short(max(-_LARGEST_DB, min(_LARGEST_DB, 10 * math.log10(ratio))) if ratio > 0 else -_LARGEST_DB, 6)

    def strongest(self, first: int, count: int) -> list[int]:
        """Return the channels of maps `first` to `first + count` in the order of their strength."""
        strengths = np.abs(self.signal).mean(axis=(1, 2))
        return [int(channel) for channel in np.argsort(-strengths, kind="stable")[first : first + count]]

    def maps(self, channels: list[int], largest_side: int) -> tuple[FeatureMap, ...]:
        """Return the maps of channels, drawn with sides of at most `largest_side` pixels."""
        own = reduced(self.own[channels], largest_side)
        other = None if self.other is None else reduced(self.other[channels], largest_side)
        made = []
        for place, channel in enumerate(channels):
            pair = own[place : place + 1] if other is None else np.stack([own[place], other[place]])
            low, high = float(pair.min()), float(pair.max())
            pictures = [draw(each, low, high) for each in pair]
            strength = short(float(np.abs(self.signal[channel]).mean()), 6)
            made.append(FeatureMap(channel, strength, pictures[0], pictures[1] if other is not None else None))
        return tuple(made)


def values_of(own: np.ndarray, other: np.ndarray | None, *, is_other_exact: bool) -> LayerValues:
    """Return the outputs of a layer in two bundles. Outputs of different shapes are not compared."""
    same = other is not None and other.shape == own.shape
    return LayerValues(finite(own), finite(other) if same and other is not None else None, is_other_exact)


def kernels_of(layer: GraphLayer, constants: Constants, channels: list[int], *, with_values: bool) -> Kernels | None:
    """Return the kernels of a convolution for some of its output channels; None if the weights are unknown.

    A picture is symmetric around 0: `low` is -`high`.
    """
    weights = constants.values(layer.weights)
    if weights is None or weights.ndim != 4 or not channels:
        return None
    shown = weights[channels].astype(np.float64)
    bias = constants.values(layer.bias) if layer.bias else None
    pictures = []
    for kernel in shown:
        colours = np.moveaxis(kernel, 0, 2) if len(kernel) == _COLOURS else kernel.mean(axis=0)
        limit = float(np.abs(colours).max())
        pictures.append(draw(colours, -limit, limit))
    return Kernels(
        channels=tuple(channels),
        pictures=tuple(pictures),
        values=_nested(shown) if with_values else None,
        bias=() if bias is None else tuple(short(float(each)) for each in bias.reshape(-1)[channels]),
    )


def _nested(kernels: np.ndarray) -> tuple[tuple[tuple[tuple[float, ...], ...], ...], ...]:
    """Return [channels, inputs, kh, kw] as tuples of numbers."""
    return tuple(
        tuple(tuple(tuple(short(float(each)) for each in row) for row in plane) for plane in kernel)
        for kernel in kernels
    )
