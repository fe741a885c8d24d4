"""Ranges and histograms of layers."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.quantization.trial import open_trial
from edgecnn.pipeline.reporting.families import Family, Subject, families
from edgecnn.pipeline.reporting.ranges import BINS, values_of


def test_equal_the_values_of_the_graph(committed: Bundle):
    found = values_of(families([committed])[0])
    assert [layer.layer for layer in found.layers] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    model = onnx.load(str(committed.model))
    name = next(node.output[0] for node in model.graph.node if node.op_type == "Conv")
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    (values,) = open_trial(model).outputs([name], committed.self_test().images)
    layer = found.layers[0]
    own = layer.bundles["lenet-digits-int8"]
    assert own.low == pytest.approx(float(values.min()))
    assert own.high == pytest.approx(float(values.max()))
    assert sum(own.counts) == values.size
    assert len(own.counts) == BINS
    assert layer.start + BINS * layer.width == pytest.approx(own.high)
    expected = np.histogram(values, BINS, (own.low, own.high))[0]
    assert np.abs(np.cumsum(own.counts) - np.cumsum(expected)).max() < 0.02 * values.size


def test_bundles_of_a_family_share_their_bins(fp32_bundle: Bundle, int8_bundle: Bundle):
    found = values_of(families([fp32_bundle, int8_bundle])[0])
    for layer in found.layers:
        first, second = layer.bundles.values()
        assert sum(first.counts) == sum(second.counts)
        assert layer.start == min(first.low, second.low)


def test_values_of_a_layer_in_4_bits_include_its_bias(fp32_bundle: Bundle, int4_bundle: Bundle):
    found = values_of(families([fp32_bundle, int4_bundle])[0])
    layer = next(each for each in found.layers if each.layer == "fc1")
    assert layer.operator == "Gemm"
    first, second = layer.bundles.values()
    spread = first.high - first.low
    assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=0.1 * spread)
    (alone,) = [each for each in values_of(families([int4_bundle])[0]).layers if each.layer == "fc1"]
    assert alone.operator == "Gemm"


def test_names_the_bundle_whose_values_are_not_finite(committed: Bundle, tmp_path: Path):
    model = onnx.load(str(committed.model))
    for tensor in model.graph.initializer:
        if tensor.name.endswith("bias") and tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(tensor.dims), np.nan, np.float32), tensor.name))
    for file in committed.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    onnx.save(model, tmp_path / committed.model.name)
    found = values_of(Family((Subject(dataclasses.replace(committed, path=tmp_path), "broken"),)))
    assert found.layers == ()
    assert "not finite" in found.failures["broken"]
