"""Rounding weights together gives a smaller output error than rounding each weight to the nearest."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from benchmarks.common.random_networks import photographs
from edgecnn.errors import EngineError
from edgecnn.pipeline.quantization import rounding
from edgecnn.pipeline.quantization.moments import BLOCK, Moments
from edgecnn.pipeline.quantization.plan import (
    Range,
    WeightQuantization,
    activation_quantization,
    nearest,
    weight_scales,
)
from edgecnn.pipeline.quantization.steps import symmetric

FINE = activation_quantization(Range(-8.0, 8.0))


def correlated(count: int, width: int) -> np.ndarray:
    """Return realistic inputs: a few directions have most of the variance, and the mean is not zero."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(count, width // 4)) @ random.normal(size=(width // 4, width)) / np.sqrt(width)
    return np.clip(mixed + 0.5 + 0.05 * random.normal(size=(count, width)), -8, 8).astype(np.float32)


def gptq(
    weights: np.ndarray, scales: np.ndarray, limit: int, moments: list[np.ndarray]
) -> tuple[WeightQuantization, np.ndarray]:
    integers, correction = rounding.gptq(weights, symmetric(scales, limit), moments)
    return WeightQuantization(scales, integers), correction


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
    assert mean[0] == pytest.approx(rows.T @ rows / len(rows), abs=1e-4)


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


GROUPED = [(32, 32, 32, 3), (32, 32, 32, 5), (16, 32, 16, 3), (32, 32, 2, 3), (32, 24, 4, 3), (32, 32, 8, 1)]
"""Input channels, output channels, groups and kernel. The first three are depthwise."""


def convolution(inputs: int, outputs: int, groups: int, kernel: int) -> tuple[onnx.NodeProto, np.ndarray]:
    """Return a padded convolution and its weights. The groups' weights have different magnitudes."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=groups, pads=[kernel // 2] * 4)
    random = np.random.default_rng(1)
    weights = random.normal(size=(groups, outputs // groups, inputs // groups, kernel, kernel))
    weights *= 10.0 ** random.uniform(-3, 1, (groups, 1, 1, 1, 1))
    return node, weights.reshape(outputs, -1, kernel, kernel).astype(np.float32)


def activations(channels: int) -> np.ndarray:
    """Return random mixtures of a photograph's colours after a ReLU6, float32 [40, channels, 24, 24]."""
    mixture = torch.from_numpy(np.random.default_rng(2).normal(0, 2, (channels, 3, 1, 1)).astype(np.float32))
    return torch.nn.functional.conv2d(photographs(24, count=40), mixture).clamp(0, 6).numpy()


@pytest.mark.parametrize("shape", GROUPED)
def test_grouped_convolution_has_a_smaller_error_on_new_images(shape: tuple[int, int, int, int]):
    node, weights = convolution(*shape)
    seen, fresh = np.split(activations(shape[0]), [30])
    quantization = activation_quantization(Range(0, 6))
    moments = Moments(node, weights.shape, quantization)
    moments.update(seen)
    scales = weight_scales(weights, 64)
    rounded, correction = gptq(weights, scales, 64, moments.means())
    inputs = torch.from_numpy(quantization.rounded(fresh))

    def outputs(values: np.ndarray) -> np.ndarray:
        found = torch.nn.functional.conv2d(inputs, torch.from_numpy(values), padding=shape[3] // 2, groups=shape[2])
        return found.numpy()

    wanted = outputs(weights)
    variance = wanted.var(axis=(0, 2, 3))
    together = (outputs(rounded.rounded()) + correction[:, None, None] - wanted) ** 2
    separately = (outputs(nearest(weights, scales, 64).rounded()) - wanted) ** 2
    errors = [(each.mean(axis=(0, 2, 3)) / variance).mean() for each in (together, separately)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("stack", [1, rounding._STACK])
@pytest.mark.parametrize("shape", [*GROUPED, (2 * (BLOCK // 9 + 6), 6, 2, 3), (512, 512, 512, 3)])
def test_each_group_is_rounded_like_a_layer(
    shape: tuple[int, int, int, int], stack: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rounding, "_STACK", stack)
    node, weights = convolution(*shape)
    images = np.random.default_rng(0).normal(1, 1, (3, shape[0], 8, 8)).astype(np.float32)
    images *= np.random.default_rng(1).permutation(shape[0])[:, None, None]  # channels of unequal magnitude, one zero
    moments = Moments(node, weights.shape, FINE)
    moments.update(images)
    rounded, correction = gptq(weights, weight_scales(weights, 64), 64, moments.means())
    groups, means = shape[2], moments.means()
    for group, own in enumerate(np.split(weights, groups)[:4]):
        alone = Moments(helper.make_node("Conv", ["x", "w"], ["y"], pads=[shape[3] // 2] * 4), own.shape, FINE)
        alone.update(np.split(images, groups, axis=1)[group])
        for mine, expected in zip(means, alone.means(), strict=True):
            np.testing.assert_allclose(mine[group], expected[0], rtol=1e-5, atol=1e-5)
        assert moments.shift()[group] == pytest.approx(alone.shift()[0])
        found = gptq(own, weight_scales(own, 64), 64, [each[group : group + 1] for each in means])
        np.testing.assert_array_equal(np.split(rounded.integers, groups)[group], found[0].integers)
        np.testing.assert_array_equal(np.split(correction, groups)[group], found[1])


def one_by_one(weights: np.ndarray, scales: np.ndarray, moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round one input's weights after the other. Each time, remove the input from the inverse of the moments.

    This is equation 3 of Frantar et al., before their reformulation with a Cholesky decomposition.
    """
    size = weights.shape[1]
    damped = moment.astype(np.float64)
    damped[range(size), range(size)] += 0.01 * np.diag(damped)[:size].mean()
    order = [*np.argsort(-np.diag(damped)[:size], kind="stable"), size]
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    values = np.pad(weights.astype(np.float64), ((0, 0), (0, 1)))[:, order]
    integers = np.zeros(weights.shape, np.int8)
    for row in range(size):
        integers[:, order[row]] = np.clip(np.rint(values[:, row] / scales), -64, 64)
        error = (values[:, row] - integers[:, order[row]] * scales) / inverse[row, row]
        values[:, row + 1 :] -= np.outer(error, inverse[row, row + 1 :])
        inverse -= np.outer(inverse[:, row], inverse[row]) / inverse[row, row]
    return integers, values[:, size]


@pytest.mark.parametrize("width", [9, 150])
@pytest.mark.parametrize("groups", [1, 3])
def test_equals_rounding_one_by_one(width: int, groups: int):
    weights = np.random.default_rng(1).normal(size=(4 * groups, width)).astype(np.float32)
    scales = weight_scales(weights, 64)
    moments = np.concatenate([moments_of(correlated(400 + group, width)).means()[0] for group in range(groups)])
    rounded, correction = gptq(weights, scales, 64, [moments])
    parts = zip(np.split(weights, groups), np.split(scales, groups), moments, strict=True)
    integers, corrections = zip(*(one_by_one(*part) for part in parts), strict=True)
    np.testing.assert_array_equal(rounded.integers, np.concatenate(integers))
    np.testing.assert_allclose(correction, np.concatenate(corrections), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-15, 1.0, -3.0, 1e17])
def test_constant_inputs_give_finite_weights(groups: int, value: float):
    node, weights = convolution(8, 8, groups, 3)
    moments = Moments(node, weights.shape, activation_quantization(Range(value, value)))
    moments.update(np.full((2, 8, 5, 5), value, np.float32))
    rounded, correction = gptq(weights, weight_scales(weights, 64), 64, moments.means())
    assert np.isfinite(correction).all()
    assert np.abs(rounded.integers.astype(int)).max() <= 64


def test_a_dead_group_is_rounded_to_nearest():
    node, weights = convolution(8, 8, 8, 3)
    images = np.random.default_rng(0).normal(1, 1, (4, 8, 6, 6)).astype(np.float32)
    images[:, 3] = 0
    moments = Moments(node, weights.shape, FINE)
    moments.update(images)
    scales = weight_scales(weights, 64)
    rounded, correction = gptq(weights, scales, 64, moments.means())
    assert (rounded.integers[3] == nearest(weights, scales, 64).integers[3]).all()
    assert np.isfinite(correction).all()
    assert correction[3] == 0


def test_rejects_values_whose_squares_overflow():
    node, weights = convolution(2, 2, 2, 3)
    moments = Moments(node, weights.shape, activation_quantization(Range(0, 1e30)))
    moments.update(np.full((2, 2, 5, 5), 1e30, np.float32))
    with pytest.raises(EngineError, match="x has values beyond 1e18 on the calibration images"):
        moments.means()
