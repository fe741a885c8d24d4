"""Tests of maps, kernels and the signal-to-noise ratio."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image
from repository import COMMITTED

from edgecnn.bundle.store import Bundle
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import Picture
from edgecnn.explaining.graph import read_graph
from edgecnn.explaining.layers import layers_of
from edgecnn.explaining.maps import LayerValues, kernels_of, values_of
from edgecnn.explaining.pictures import draw, finite, fitting_side, reduced

RANDOM = np.random.default_rng(0)


def values_in(picture: Picture) -> np.ndarray:
    """Return the values that a picture shows."""
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.png))), np.float64)
    return picture.low + levels / 255 * (picture.high - picture.low)


def test_a_picture_has_the_values_to_half_a_level():
    values = RANDOM.normal(size=(9, 7))
    picture = draw(values, values.min(), values.max())
    assert np.abs(values_in(picture) - values).max() <= (picture.high - picture.low) / 255 / 2 + 1e-8
    assert (picture.low, picture.high) == pytest.approx((values.min(), values.max()))


@pytest.mark.parametrize("value", [0.0, -3.5, 1e30])
def test_a_constant_map_has_a_range(value: float):
    picture = draw(np.full((2, 2), value), value, value)
    assert picture.low == value
    assert values_in(picture)[0, 0] == value
    assert picture.high > picture.low or value == 1e30


def test_large_maps_are_reduced_to_means():
    values = RANDOM.normal(size=(2, 112, 100))
    small = reduced(values, 56)
    assert small.shape == (2, 56, 50)
    assert np.allclose(small, values.reshape(2, 56, 2, 50, 2).mean(axis=(2, 4)))
    assert reduced(values, 112) is values
    assert np.allclose(reduced(values[:, :5, :7], 4)[0, -1, -1], values[0, 4, 6])


def test_pictures_become_smaller_until_they_fit():
    shapes = [(16, 56, 56), (16, 28, 28)]
    assert fitting_side(shapes, 56, 10**9) == 56
    assert fitting_side(shapes, 56, 16 * 2 * 28 * 28) == 55  # reduced by 2
    assert fitting_side(shapes, 56, 0) == 14


def test_values_that_are_not_finite_are_replaced():
    assert finite(np.float32([1, np.inf, -np.inf, np.nan, 3])).tolist() == [1, 3, 1, 0, 3]
    assert finite(np.full(2, np.nan)).tolist() == [0, 0]


def test_the_strongest_maps_come_first():
    values = LayerValues(np.stack([np.full((3, 3), each) for each in (0.5, -2.0, 1.0, -1.0)]), None)
    assert values.strongest(0, 3) == [1, 2, 3]
    assert values.strongest(3, 9) == [0]
    maps = values.maps([1, 2], 56)
    assert [(each.channel, each.strength, each.other) for each in maps] == [(1, 2.0, None), (2, 1.0, None)]


def test_two_bundles_share_the_range_and_the_order_of_fp32():
    own = np.stack([np.full((2, 2), 1.0), np.full((2, 2), 5.0)])
    other = np.stack([np.full((2, 2), 4.0), np.full((2, 2), 2.0)])
    assert LayerValues(own, other).strongest(0, 2) == [1, 0]
    exact = LayerValues(own, other, is_other_exact=True)
    assert exact.strongest(0, 2) == [0, 1]
    (first,) = exact.maps([0], 56)
    assert (first.strength, first.picture.low, first.picture.high) == (4.0, 1.0, 4.0)
    assert (first.other.low, first.other.high) == (1.0, 4.0)
    assert (values_in(first.picture)[0, 0], values_in(first.other)[0, 0]) == (1.0, 4.0)


def test_the_signal_to_noise_ratio_is_that_of_all_values():
    signal, noise = RANDOM.normal(size=(3, 4, 4)), RANDOM.normal(scale=0.01, size=(3, 4, 4))
    expected = 10 * math.log10((signal**2).sum() / (noise**2).sum())
    assert LayerValues(signal, signal + noise).snr_db() == pytest.approx(expected, rel=1e-5)
    assert LayerValues(signal + noise, signal, is_other_exact=True).snr_db() == pytest.approx(expected, rel=1e-5)
    assert LayerValues(signal, signal).snr_db() == 200
    assert LayerValues(0 * signal, signal).snr_db() == -200
    assert LayerValues(signal, None).snr_db() is None
    assert values_of(signal, signal[:2], is_other_exact=False).snr_db() is None


def test_kernels_are_exact_and_centred(committed: Bundle):
    graph = read_graph((COMMITTED / "model.onnx").read_bytes())
    constants = Constants(graph)
    first, second = (each for each in layers_of(graph, constants) if each.operation == "conv")
    weights, bias = constants.values(first.weights), constants.values(first.bias)
    kernels = kernels_of(first, constants, [4, 1], with_values=True)
    assert kernels.channels == (4, 1)
    assert np.array_equal(np.float32(kernels.values), weights[[4, 1]])
    assert np.array_equal(np.float32(kernels.bias), bias[[4, 1]])
    for picture, kernel in zip(kernels.pictures, weights[[4, 1]], strict=True):
        assert picture.low == -picture.high
        assert np.abs(values_in(picture) - kernel[0]).max() <= picture.high / 255 + 1e-7
    deep = kernels_of(second, constants, [0], with_values=False)
    assert deep.values is None
    mean = constants.values(second.weights)[0].mean(axis=0)
    assert np.abs(values_in(deep.pictures[0]) - mean).max() <= deep.pictures[0].high / 255 + 1e-7
