"""Rounding weights together gives a smaller output error than rounding each weight to the nearest."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from edgecnn.pipeline.quantization.moments import BLOCK, Moments
from edgecnn.pipeline.quantization.plan import Range, activation_quantization, nearest, weight_scales
from edgecnn.pipeline.quantization.rounding import gptq

FINE = activation_quantization(Range(-8.0, 8.0))


def correlated(count: int, width: int) -> np.ndarray:
    """Return realistic inputs: a few directions have most of the variance, and the mean is not zero."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(count, width // 4)) @ random.normal(size=(width // 4, width)) / np.sqrt(width)
    return np.clip(mixed + 0.5 + 0.05 * random.normal(size=(count, width)), -8, 8).astype(np.float32)


def moments_of(inputs: np.ndarray) -> Moments:
    found = Moments(helper.make_node("Gemm", ["x", "w"], ["y"]), (1, inputs.shape[1]), FINE)
    found.update(inputs)
    return found


@pytest.mark.parametrize("width", [40, BLOCK + 24])
def test_reduces_the_error_on_new_images(width: int):
    weights = np.random.default_rng(1).normal(size=(16, width)).astype(np.float32)
    scales = weight_scales(weights, 64)
    seen, fresh = np.split(correlated(5000, width), [4000])
    rounded, correction = gptq(weights, scales, 64, moments_of(seen).means())
    wanted = fresh @ weights.T
    separately = np.mean((fresh @ nearest(weights, scales, 64).rounded().T - wanted) ** 2)
    together = np.mean((fresh @ rounded.rounded().T + correction - wanted) ** 2)
    assert together < 0.5 * separately
    assert np.abs(rounded.integers.astype(int)).max() <= 64


def test_keeps_the_mean_of_the_output():
    inputs = correlated(4000, 40)
    weights = np.random.default_rng(1).normal(size=(16, 40)).astype(np.float32)
    moments = moments_of(inputs)
    rounded, correction = gptq(weights, weight_scales(weights, 8), 8, moments.means())
    seen = FINE.rounded(inputs)
    error = (seen @ rounded.rounded().T + correction - seen @ weights.T).mean(axis=0)
    plain = (seen @ nearest(weights, weight_scales(weights, 8), 8).rounded().T - seen @ weights.T).mean(axis=0)
    assert np.abs(error).max() < 0.05 * np.abs(plain).max()


def test_zero_inputs_give_finite_weights():
    weights = np.random.default_rng(1).normal(size=(4, 10)).astype(np.float32)
    rounded, correction = gptq(
        weights, weight_scales(weights, 64), 64, moments_of(np.zeros((8, 10), np.float32)).means()
    )
    assert (rounded.integers == nearest(weights, weight_scales(weights, 64), 64).integers).all()
    assert np.isfinite(correction).all()


@pytest.mark.parametrize(
    ("strides", "pads", "dilations"),
    [([1, 1], [1, 1, 1, 1], [1, 1]), ([2, 2], [0, 0, 0, 0], [1, 1]), ([1, 2], [2, 0, 2, 0], [2, 1])],
)
def test_moments_match_unfolded_windows(strides: list[int], pads: list[int], dilations: list[int]):
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=strides, pads=pads, dilations=dilations)
    images = np.random.default_rng(0).normal(size=(9, 3, 6, 5)).astype(np.float32)
    found = Moments(node, (4, 3, 3, 3), FINE)
    for portion in (images[:4], images[4:]):
        found.update(portion)
    padded = torch.nn.functional.pad(torch.from_numpy(FINE.rounded(images)), (pads[1], pads[3], pads[0], pads[2]))
    patches = torch.nn.functional.unfold(
        padded, (3, 3), dilation=dilations, stride=strides
    )  # at most 30 positions, so all are used
    rows = patches.transpose(1, 2).reshape(-1, 27).numpy()
    rows = np.hstack([rows, np.ones((len(rows), 1), np.float32)])
    (mean,) = found.means()
    assert mean == pytest.approx(rows.T @ rows / len(rows), abs=1e-4)


def test_moments_ignore_the_batch_size():
    node: onnx.NodeProto = helper.make_node("Conv", ["x", "w"], ["y"])
    images = np.random.default_rng(0).normal(size=(20, 2, 12, 12)).astype(np.float32)
    results = []
    for size in (1, 7, 20):
        found = Moments(node, (4, 2, 3, 3), FINE)
        for start in range(0, 20, size):
            found.update(images[start : start + size])
        results.append(found.means()[0])
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()
