"""The numbers of a plan: exact zeros, bounded weights, and 16-bit sums that cannot overflow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.pipeline.quantization.plan import (
    FULL_RANGE,
    PORTABLE_RANGE,
    activation_quantization,
    weight_quantization,
)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_zero_is_exact_and_the_range_is_covered(a: float, b: float):
    low, high = sorted((a, b))
    found = activation_quantization(low, high)
    assert 0 <= found.zero_point <= 255
    assert found.scale > 0
    step = found.scale
    assert (0 - found.zero_point) * step <= min(low, 0) + step
    assert (255 - found.zero_point) * step >= max(high, 0) - step


def test_a_tensor_of_zeros_has_a_scale():
    assert activation_quantization(0, 0).scale == 1.0


@pytest.mark.parametrize("limit", [PORTABLE_RANGE, FULL_RANGE])
def test_weights_reach_their_limit_in_every_channel_and_never_pass_it(limit: int):
    weights = np.random.default_rng(0).normal(size=(7, 3, 5, 5)).astype(np.float32)
    scales = weight_quantization(weights, limit).scales
    integers = np.rint(weights / scales[:, None, None, None])
    assert (np.abs(integers).reshape(7, -1).max(axis=1) == limit).all()


def test_a_channel_of_zeros_has_a_scale():
    assert weight_quantization(np.zeros((2, 4), np.float32), 64).scales.tolist() == [1.0, 1.0]


def test_two_products_of_the_portable_range_fit_16_bits():
    assert 2 * 255 * PORTABLE_RANGE <= np.iinfo(np.int16).max < 2 * 255 * (PORTABLE_RANGE + 1)


def test_the_bias_of_a_channel_that_is_all_but_dead_is_kept():
    weights = np.array([[1.0, -1.0], [1e-12, 0.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    bias = np.array([0.5, 3.0, -0.7, 0.0], np.float32)
    input_scale = 0.02
    scales = weight_quantization(weights, 64, bias=bias, input_scale=input_scale).scales.astype(np.float64)
    integers = np.rint(bias / (scales * input_scale))
    assert np.abs(integers).max() <= 2**30 + 64
    assert integers * scales * input_scale == pytest.approx(bias, rel=1e-6, abs=1e-6)
    assert (scales > 0).all()
