"""Tests of weights in 4 bits: their steps, and rounding to them."""

import numpy as np
import pytest
from onnx import helper

from edgecnn.bundle.four_bits import BLOCK, dequantized, pack, pack_zero_points
from edgecnn.pipeline.quantization import block_weights as module
from edgecnn.pipeline.quantization.block_weights import BlockWeights, block_steps, block_weights
from edgecnn.pipeline.quantization.moments import Moments
from edgecnn.pipeline.quantization.rounding import gptq


def weights(outputs: int, columns: int) -> np.ndarray:
    """Return weights with heavy tails, and a magnitude of its own for each output."""
    random = np.random.default_rng(0)
    return (random.standard_t(4, (outputs, columns)) * random.uniform(0.1, 10, (outputs, 1))).astype(np.float32)


def nearest(values: np.ndarray) -> BlockWeights:
    steps = block_steps(values)
    return block_weights(steps, steps.nearest(values))


@pytest.mark.parametrize("columns", [1, 128, 300])
def test_values_inside_the_range_are_at_most_half_a_step_away(columns: int):
    values = weights(5, columns)
    found = nearest(values)
    scales = found.scales.repeat(BLOCK, axis=1)[:, :columns]
    zeros = found.zero_points.repeat(BLOCK, axis=1)[:, :columns].astype(np.float32)
    inside = (values >= -zeros * scales) & (values <= (15 - zeros) * scales)
    assert inside.mean() > 0.9
    assert (np.abs(found.rounded() - values) <= 0.501 * scales)[inside].all()
    assert found.integers.max() <= 15


def test_a_clipped_range_reduces_the_error(monkeypatch: pytest.MonkeyPatch):
    values = weights(20, 512)
    clipped = np.mean((nearest(values).rounded() - values) ** 2)
    monkeypatch.setattr(module, "_SHRINKINGS", (1.0,))
    assert clipped < 0.95 * np.mean((nearest(values).rounded() - values) ** 2)


@pytest.mark.parametrize("portion", [1, 1 << 20])
def test_portions_do_not_change_the_steps(portion: int, monkeypatch: pytest.MonkeyPatch):
    expected = block_steps(weights(7, 300))
    monkeypatch.setattr(module, "_PORTION", portion)
    found = block_steps(weights(7, 300))
    assert (found.scales == expected.scales).all()
    assert (found.low == expected.low).all()


@pytest.mark.parametrize("value", [0.0, 1e-42, 3.0, -3.0])
def test_equal_weights_are_exact(value: float):
    values = np.full((2, 200), value, np.float32)
    assert nearest(values).rounded() == pytest.approx(values, rel=1e-6, abs=1e-40)


def test_the_packed_form_has_the_same_values():
    found = nearest(weights(5, 300))
    zero_points = pack_zero_points(found.zero_points)
    assert (dequantized(pack(found.integers), found.scales, zero_points, 300) == found.rounded()).all()


@pytest.mark.parametrize("columns", [200, 700])
def test_rounding_together_reduces_the_error_on_new_inputs(columns: int):
    random = np.random.default_rng(2)
    mixing = random.normal(size=(columns // 4, columns)).astype(np.float32)
    seen, fresh = (
        np.maximum(random.normal(size=(count, len(mixing))) @ mixing + 1, 0).astype(np.float32) for count in (3000, 500)
    )
    values = weights(16, columns)
    moments = Moments(helper.make_node("Gemm", ["x", "w"], ["y"]), values.shape, None)
    moments.update(seen)
    steps = block_steps(values)
    integers, correction = gptq(values, steps, moments.means())
    together = block_weights(steps, integers).rounded()
    expected = fresh @ values.T
    separately = np.mean((fresh @ nearest(values).rounded().T - expected) ** 2)
    assert np.mean((fresh @ together.T + correction - expected) ** 2) < 0.5 * separately
    assert not moments.shift().any()
