"""Tests of quantizing a real network: its accuracy, its records and its errors."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError, UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.calibration_config import open_calibration
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.placement import place
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import replay


def initializers(bundle: Bundle) -> dict[str, np.ndarray]:
    graph = onnx.load(str(bundle.model)).graph
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


@pytest.mark.parametrize("engine", installed())
def test_lenet_loses_at_most_one_test_image(engine: str, int8_bundle: Bundle, fp32_bundle: Bundle):
    test = open_source("digits").split("test")
    pixels = test.all_pixels(int8_bundle.manifest.preprocessing)
    right = [
        int((run_batches(open_session(bundle, engine=engine), pixels, classes=10).argmax(1) == test.targets).sum())
        for bundle in (fp32_bundle, int8_bundle)
    ]
    assert right[0] - right[1] <= 1


def test_weights_stay_in_the_portable_range(int8_bundle: Bundle):
    tensors = initializers(int8_bundle)
    weights = {name: value for name, value in tensors.items() if name.endswith(".weight/quantized")}
    assert len(weights) == 3  # all except the two small linear layers at the end
    for name, value in weights.items():
        assert value.dtype == np.int8
        assert np.abs(value.astype(int)).max() == PORTABLE_RANGE
        assert tensors[name.replace("quantized", "scale")].shape == (len(value),)
    assert int8_bundle.manifest.quantization is not None
    assert int8_bundle.manifest.quantization.weight_limit == PORTABLE_RANGE


def test_the_manifest_and_the_proof_name_layers_in_4_bits(int4_bundle: Bundle, int8_bundle: Bundle):
    graph = int4_bundle.manifest.graph
    assert graph.weights == int8_bundle.manifest.graph.weights | {"fc1.weight": "int4"}
    assert graph.macs == int8_bundle.manifest.graph.macs
    assert graph.quantization is not None
    assert "fc1.weight" not in graph.quantization.float_tensors
    trials = {layer.layer: layer.four_bits for layer in int4_bundle.proof().layers}
    assert trials["conv1"] is trials["conv2"] is None
    assert trials["fc1"] is not None
    assert trials["fc1"].reason is None
    assert trials["fc1"].saved_bytes == pytest.approx(int8_bundle.size_bytes - int4_bundle.size_bytes, abs=200)


@pytest.mark.parametrize("engine", installed())
def test_every_engine_passes_the_self_test_in_4_bits(engine: str, int4_bundle: Bundle):
    manifest = int4_bundle.manifest
    session = open_session(int4_bundle, engine=engine)
    result = replay(int4_bundle.self_test(), session, manifest.preprocessing, manifest.scores)
    session.close()
    assert result.holds, result.failures
    proven = {each.engine: each.comparison.agreement for each in int4_bundle.proof().engines}
    assert proven[engine] >= 0.98


def test_logits_stay_in_float_with_a_reason(int8_bundle: Bundle):
    graph = onnx.load(str(int8_bundle.model)).graph
    (maker,) = [node for node in graph.node if "logits" in node.output]
    assert maker.op_type == "Gemm"
    assert int8_bundle.manifest.quantization is not None
    assert "logits" in int8_bundle.manifest.quantization.float_tensors


def test_bundle_records_proof_and_parent(int8_bundle: Bundle, fp32_bundle: Bundle):
    record = int8_bundle.manifest.provenance.calibration
    assert record is not None
    assert (record.parent, record.method, record.seed) == (fp32_bundle.digest, "mse", 0)
    assert record.images.split == "train"
    assert int8_bundle.manifest.reference.digest == fp32_bundle.manifest.reference.digest
    assert fp32_bundle.digest in int8_bundle.proof().reference
    for engine in installed():
        session = open_session(int8_bundle, engine=engine)
        assert replay(int8_bundle.self_test(), session, int8_bundle.manifest.preprocessing).holds


def test_keeps_the_macs(fp32_bundle: Bundle, int8_bundle: Bundle):
    assert int8_bundle.manifest.macs == fp32_bundle.manifest.macs is not None


@pytest.mark.filterwarnings("ignore::edgecnn.errors.SaturationWarning")
@pytest.mark.slow
def test_warns_if_the_full_range_fails(fp32_bundle: Bundle, tmp_path: Path):
    options = QuantizationOptions(full_range=True)
    made = quantize(fp32_bundle, open_calibration("digits"), tmp_path / "full", options=options)
    values = [v for name, v in initializers(made.bundle).items() if name.endswith(".weight/quantized")]
    assert max(np.abs(value.astype(int)).max() for value in values) == 127
    failing = {
        engine
        for engine in installed()
        if not replay(
            made.bundle.self_test(), open_session(made.bundle, engine=engine), made.bundle.manifest.preprocessing
        ).holds
    }
    assert {engine for engine in installed() if any(f"on {engine} " in line for line in made.warnings)} == failing


def built(bundle: Bundle, **options: Any) -> Built:
    model = onnx.load(str(bundle.model))
    return build(model, bundle.self_test().images, options=QuantizationOptions(**options))


@pytest.mark.parametrize("rounding", ["nearest", pytest.param("gptq", marks=pytest.mark.slow)])
def test_graph_ignores_the_batch_size(fp32_bundle: Bundle, rounding: str):
    def integers(found: Built) -> np.ndarray:
        weights = [t for t in found.model.graph.initializer if t.name.endswith(".weight/quantized")]
        return np.concatenate([onnx.numpy_helper.to_array(t).ravel() for t in weights]).astype(int)

    at_once = integers(built(fp32_bundle, batch_size=32, rounding=rounding))
    for size in (1, 5, None):
        streamed = integers(built(fp32_bundle, batch_size=size, rounding=rounding))
        assert np.mean(streamed != at_once) < 0.001  # an engine may sum in another order for another batch size


@pytest.mark.parametrize(
    "method",
    [
        "minmax",
        pytest.param("percentile", marks=pytest.mark.slow),
        "entropy",
        pytest.param("mse", marks=pytest.mark.slow),
    ],
)
def test_every_method_matches_the_reference(fp32_bundle: Bundle, method: str):
    test = open_source("digits").split("test").all_pixels(fp32_bundle.manifest.preprocessing)
    expected = trial_logits(onnx.load(str(fp32_bundle.model)), test).argmax(axis=1)
    answers = trial_logits(built(fp32_bundle, method=method).model, test).argmax(axis=1)
    assert np.mean(answers == expected) >= 0.98


def test_rounding_together_reduces_the_error(fp32_bundle: Bundle):
    test = open_source("digits").split("test").all_pixels(fp32_bundle.manifest.preprocessing)
    expected = trial_logits(onnx.load(str(fp32_bundle.model)), test)
    errors = {
        rounding: np.std(trial_logits(built(fp32_bundle, rounding=rounding).model, test) - expected)
        for rounding in ("nearest", "gptq")
    }
    assert errors["gptq"] < 0.8 * errors["nearest"]


@pytest.mark.slow
def test_symmetric_scheme_has_no_zero_points(fp32_bundle: Bundle, tmp_path: Path):
    options = QuantizationOptions(scheme="symmetric")
    made = quantize(fp32_bundle, open_calibration("digits"), tmp_path / "symmetric", options=options).bundle
    points = [value for name, value in initializers(made).items() if name.endswith("/zero_point")]
    assert {point.dtype for point in points} == {np.dtype(np.int8), np.dtype(np.int32)}
    assert not any(point.any() for point in points)
    assert made.manifest.quantization is not None
    assert made.manifest.quantization.symmetric
    assert min(engine.comparison.agreement for engine in made.proof().engines) >= 0.99


def test_proof_has_gate_layers_and_images(int8_bundle: Bundle):
    proof = int8_bundle.proof()
    assert [layer.layer for layer in proof.layers] == ["conv1", "conv2", "fc1"]
    assert all(layer.weight_snr_db is not None and layer.weight_snr_db > 20 for layer in proof.layers)
    assert proof.gate is not None
    assert proof.gate.after.drop <= proof.gate.max_drop == 0.001
    assert proof.gate.data.split == "train"
    assert len(set(proof.calibration_images)) == 300


@pytest.mark.slow
def test_warns_if_no_gate_images_remain(fp32_bundle: Bundle, tmp_path: Path):
    options = QuantizationOptions(method="minmax", rounding="nearest")
    made = quantize(fp32_bundle, open_calibration("digits", count=10_000), tmp_path / "all", options=options)
    assert any("no images remain for the gate" in warning for warning in made.warnings)
    assert made.bundle.proof().gate is None


def test_names_weights_that_are_not_finite(fp32_bundle: Bundle):
    model = onnx.load(str(fp32_bundle.model))
    (weight,) = [t for t in model.graph.initializer if t.name == "conv2.weight"]
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0, 0, 0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    with pytest.raises(BundleError, match=r"conv2\.weight has values that are not finite"):
        build(model, fp32_bundle.self_test().images, options=QuantizationOptions())


def test_quantizes_a_channel_of_zeros(fp32_bundle: Bundle):
    model = onnx.load(str(fp32_bundle.model))
    for weight in model.graph.initializer:
        if weight.name in ("conv2.weight", "conv2.bias"):
            values = onnx.numpy_helper.to_array(weight).copy()
            values[3] = 0
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    images = fp32_bundle.self_test().images
    found = trial_logits(build(model, images, options=QuantizationOptions()).model, images)
    assert np.abs(found - trial_logits(model, images)).max() < 0.5


def test_names_an_operator_without_int8_form(fp32_bundle: Bundle):
    model = onnx.load(str(fp32_bundle.model))
    (first,) = [node for node in model.graph.node if node.name == "relu/Relu"]
    first.op_type = "Softplus"
    images = fp32_bundle.self_test().images
    found = build(model, images, options=QuantizationOptions())
    assert found.placement.float_tensors[first.output[0]] == "Softplus: no INT8 form that both engines support"
    assert len(found.placement.weights) == 3
    assert np.abs(trial_logits(found.model, images) - trial_logits(model, images)).max() < 0.5


@pytest.mark.parametrize("images", [1, 2])
def test_calibrates_with_one_image(fp32_bundle: Bundle, images: int):
    model, pixels = onnx.load(str(fp32_bundle.model)), fp32_bundle.self_test().images
    logits = trial_logits(build(model, pixels[:images], options=QuantizationOptions()).model, pixels)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_rejects_constant_images(fp32_bundle: Bundle, level: int):
    flat = np.full((5, 32, 32, 1), level, np.uint8)
    with pytest.raises(UsageError, match="blank"):
        build(onnx.load(str(fp32_bundle.model)), flat, options=QuantizationOptions())


def test_pooling_and_reshape_keep_the_scale(fp32_bundle: Bundle):
    placement = place(onnx.load(str(fp32_bundle.model)).graph)
    assert placement.activations["pool/MaxPool"] == "relu/Relu"
    assert placement.activations["Reshape"] == "relu/Relu_1"
    assert "conv1/Conv" not in placement.activations  # fused with its ReLU
    assert "logits" not in placement.activations


def test_rejects_an_int8_parent(int8_bundle: Bundle, tmp_path: Path):
    with pytest.raises(UsageError, match="already int8"):
        quantize(int8_bundle, open_calibration("digits"), tmp_path / "x")


@pytest.mark.parametrize("value", [0, -1])
def test_rejects_an_empty_batch(value: int):
    with pytest.raises(ValueError, match="batch_size"):
        QuantizationOptions(batch_size=value)
