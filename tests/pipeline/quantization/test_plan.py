"""The values of a plan: exact zeros, bounded weights, and 16-bit sums without overflow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.bundle.limits import FULL_RANGE, PORTABLE_RANGE
from edgecnn.pipeline.quantization.plan import Range, activation_quantization, nearest, weight_scales


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_zero_is_exact_and_range_is_covered(a: float, b: float):
    low, high = sorted((a, b))
    found = activation_quantization(Range(low, high))
    assert 0 <= found.zero_point <= 255
    assert found.scale > 0
    step = found.scale
    assert (0 - found.zero_point) * step <= min(low, 0) + step
    assert (255 - found.zero_point) * step >= max(high, 0) - step


def test_zeros_have_a_scale():
    assert activation_quantization(Range(0, 0)).scale == 1.0


@pytest.mark.parametrize("limit", [PORTABLE_RANGE, FULL_RANGE])
def test_every_channel_reaches_the_weight_limit(limit: int):
    weights = np.random.default_rng(0).normal(size=(7, 3, 5, 5)).astype(np.float32)
    integers = nearest(weights, weight_scales(weights, limit), limit).integers.astype(int)
    assert (np.abs(integers).reshape(7, -1).max(axis=1) == limit).all()


def test_a_channel_of_zeros_has_a_scale():
    assert weight_scales(np.zeros((2, 4), np.float32), 64).tolist() == [1.0, 1.0]


def test_two_portable_products_fit_16_bits():
    assert 2 * 255 * PORTABLE_RANGE <= np.iinfo(np.int16).max < 2 * 255 * (PORTABLE_RANGE + 1)


def test_keeps_the_bias_of_a_tiny_channel():
    weights = np.array([[1.0, -1.0], [1e-12, 0.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    bias = np.array([0.5, 3.0, -0.7, 0.0], np.float32)
    input_scale = 0.02
    scales = weight_scales(weights, 64, bias=bias, input_scale=input_scale).astype(np.float64)
    integers = np.rint(bias / (scales * input_scale))
    assert np.abs(integers).max() <= 2**30 + 64
    assert integers * scales * input_scale == pytest.approx(bias, rel=1e-6, abs=1e-6)
    assert (scales > 0).all()


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_symmetric_range_has_no_zero_point(a: float, b: float):
    found = activation_quantization(Range(min(a, b), max(a, b)), symmetric=True)
    assert (found.zero_point, found.dtype) == (0, np.int8)
    assert 127 * found.scale >= max(abs(a), abs(b)) * (1 - 1e-6) or max(abs(a), abs(b)) < 1e-35


def test_rounds_to_half_a_step_and_clips():
    quantization = activation_quantization(Range(-1.0, 3.0))
    values = np.linspace(-1, 3, 1000, dtype=np.float32)
    assert np.abs(quantization.rounded(values) - values).max() <= quantization.scale / 2 + 1e-6
    assert quantization.rounded(np.array([-9.0, 9.0])) == pytest.approx(quantization.ends)
