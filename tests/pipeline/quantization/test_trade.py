"""The trade of leaving a layer in float: points, milliseconds and bytes."""

import numpy as np
import onnx
import pytest
from busy_machine import as_if_idle

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.options import QuantizationOptions


@pytest.fixture(scope="module")
def analyzed(fp32_bundle: Bundle) -> Built:
    """LeNet in INT8, with the trade of each layer."""
    model, images = onnx.load(str(fp32_bundle.model)), fp32_bundle.self_test().images
    with as_if_idle():
        return build(model, images, options=QuantizationOptions(rounding="nearest"), analyze=True)


def test_every_layer_has_a_trade(analyzed: Built):
    assert {layer.layer for layer in analyzed.layers} == {"conv1", "conv2", "fc1"}
    for layer in analyzed.layers:
        trade = layer.trade
        assert trade is not None
        assert trade.regained is None  # without a gate
        assert trade.added_ms is not None
        assert trade.added_ms_low is not None
        assert trade.added_ms_high is not None
        assert trade.added_ms_low <= trade.added_ms <= trade.added_ms_high


def test_float_weights_take_four_times_the_bytes(analyzed: Built):
    sizes = {tensor.name: np.prod(tensor.dims) for tensor in analyzed.model.graph.initializer}
    (trade,) = [layer.trade for layer in analyzed.layers if layer.layer == "fc1"]
    assert trade is not None
    assert trade.added_bytes == pytest.approx(3 * sizes["fc1.weight/quantized"], rel=0.05)


def test_reports_no_time_on_a_busy_machine(fp32_bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.tuning.measuring.turn._MOST_HELD_UP", -1.0)  # every turn is disturbed
    model, images = onnx.load(str(fp32_bundle.model)), fp32_bundle.self_test().images
    found = build(model, images, options=QuantizationOptions(rounding="nearest"), analyze=True)
    for layer in found.layers:
        assert layer.trade is not None
        assert layer.trade.added_ms is layer.trade.added_ms_low is layer.trade.added_ms_high is None
        assert layer.trade.added_bytes != 0


def test_layers_are_not_measured_without_need(fp32_bundle: Bundle):
    model, images = onnx.load(str(fp32_bundle.model)), fp32_bundle.self_test().images
    found = build(model, images, options=QuantizationOptions(rounding="nearest"))
    assert [layer.trade for layer in found.layers] == [None] * 3
