"""The gate finds the layer that causes a drop, leaves it in float, and records it. Without evidence it keeps INT8."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import with_large_channel
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.calibration_config import held_out, open_calibration
from edgecnn.pipeline.quantization.gate import Gate, GateResult
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.quantization.splits import gate_record
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.runtime.verification.paired import paired_drop

FACTOR = 1000.0


@pytest.fixture(scope="module")
def planted(fp32_bundle: Bundle) -> onnx.ModelProto:
    """LeNet with a fault that INT8 exposes in `conv2`."""
    return with_large_channel(fp32_bundle.model, FACTOR)


def gate(bundle: Bundle, *, max_drop: float, certify: bool = False, count: int = 600) -> Gate:
    calibration = open_calibration("digits")
    split = held_out(calibration.source.split("train"), calibration.chosen, count, 0)
    return Gate(split.all_pixels(bundle.manifest.preprocessing), split.targets, max_drop, certify)


def calibration_images(bundle: Bundle) -> np.ndarray:
    return open_calibration("digits").chosen.all_pixels(bundle.manifest.preprocessing)


def left_by_the_gate(found: Built) -> set[str]:
    return {name for name, reason in found.placement.float_tensors.items() if reason.startswith("gate:")}


def test_planted_network_matches_the_reference(planted: onnx.ModelProto, fp32_bundle: Bundle):
    images = fp32_bundle.self_test().images
    assert trial_logits(planted, images) == pytest.approx(fp32_bundle.self_test().logits, abs=1e-3)


@pytest.mark.parametrize("method", [pytest.param("minmax", marks=pytest.mark.slow), "mse"])
def test_finds_and_fixes_a_planted_layer(planted: onnx.ModelProto, fp32_bundle: Bundle, method: str):
    asked = gate(fp32_bundle, max_drop=0.001)
    found = build(planted, calibration_images(fp32_bundle), options=QuantizationOptions(method=method), gate=asked)
    assert found.gated is not None
    assert found.gated.before.drop > 0.02
    assert found.layers[0].layer == "conv2"
    assert found.layers[0].float_wins is not None
    assert found.layers[0].float_wins > 5 * max(abs(layer.float_wins or 0) for layer in found.layers[1:])
    assert left_by_the_gate(found) == {"conv2.weight"}
    assert found.gated.after.drop <= 0.001
    assert found.gated.decision == "repaired"
    (trade, *others) = [layer.trade for layer in found.layers]
    assert trade is not None
    assert trade.regained is not None
    assert trade.regained.drop == pytest.approx(found.gated.before.drop, abs=0.01)
    assert trade.added_bytes > 0
    assert others == [None, None]
    test = open_source("digits").split("test")
    pixels = test.all_pixels(fp32_bundle.manifest.preprocessing)
    rates = [
        float(np.mean(trial_logits(model, pixels).argmax(axis=1) == test.targets)) for model in (planted, found.model)
    ]
    assert rates[1] >= rates[0] - 0.003


def test_keeps_a_good_network_in_int8(fp32_bundle: Bundle):
    model = onnx.load(str(fp32_bundle.model))
    found = build(
        model, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=gate(fp32_bundle, max_drop=0.001)
    )
    assert found.gated is not None
    assert left_by_the_gate(found) == set()
    assert found.gated.before == found.gated.after
    assert found.gated.decision == "undecided"  # 600 images cannot decide about 0.1 points


def test_enough_images_decide(fp32_bundle: Bundle):
    asked = gate(fp32_bundle, max_drop=0.02)
    model = onnx.load(str(fp32_bundle.model))
    found = build(model, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=asked)
    assert found.gated is not None
    assert found.gated.decision == "passed"
    assert found.gated.after.high <= 0.02
    assert len(found.gated.answers) == len(found.gated.expected) == found.gated.after.images


def test_leaves_layers_in_float_until_the_agreement_is_reached(planted: onnx.ModelProto, fp32_bundle: Bundle):
    asked = dataclasses.replace(gate(fp32_bundle, max_drop=1.0), min_agreement=0.99)
    found = build(planted, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=asked)
    assert found.gated is not None
    assert found.gated.decision == "repaired"
    assert found.gated.agreement >= 0.99
    assert left_by_the_gate(found) == {"conv2.weight"}
    assert "99% are needed" in found.placement.float_tensors["conv2.weight"]


@pytest.fixture(scope="module")
def doubtful(planted: onnx.ModelProto, fp32_bundle: Bundle) -> Gate:
    """A gate that the planted network exceeds, but whose images do not prove it."""
    loose = gate(fp32_bundle, max_drop=0.9)
    found = build(planted, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=loose)
    assert found.gated is not None
    asked = gate(fp32_bundle, max_drop=0.001)
    logits = [trial_logits(model, asked.images).argmax(axis=1) for model in (planted, found.model)]
    drop = paired_drop(*(answers == asked.targets for answers in logits))
    return dataclasses.replace(asked, max_drop=drop.drop - 0.01)


def test_undecided_keeps_int8(planted: onnx.ModelProto, fp32_bundle: Bundle, doubtful: Gate):
    found = build(planted, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=doubtful)
    assert found.gated is not None
    assert found.gated.decision == "undecided"
    assert found.gated.before == found.gated.after
    assert found.gated.before.low < doubtful.max_drop < found.gated.before.drop
    assert found.gated.before.images == len(doubtful.images)
    assert left_by_the_gate(found) == set()


@pytest.mark.parametrize("changes", [{"on_undecided": "float"}, {"certify": True}])
def test_undecided_leaves_layers_in_float_on_request(
    planted: onnx.ModelProto, fp32_bundle: Bundle, doubtful: Gate, changes: dict
):
    asked = dataclasses.replace(doubtful, **changes)
    found = build(planted, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=asked)
    assert found.gated is not None
    assert found.gated.decision == "repaired"
    assert found.gated.after.drop <= asked.max_drop < found.gated.before.drop
    assert left_by_the_gate(found) == {"conv2.weight"}


def test_float_on_undecided_keeps_int8_if_the_drop_is_within_the_limit(fp32_bundle: Bundle):
    asked = dataclasses.replace(gate(fp32_bundle, max_drop=0.001, count=100), on_undecided="float")
    model = onnx.load(str(fp32_bundle.model))
    found = build(model, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=asked)
    assert found.gated is not None
    assert found.gated.decision == "undecided"
    assert left_by_the_gate(found) == set()


def test_records_a_fault_of_one_class(fp32_bundle: Bundle):
    asked = gate(fp32_bundle, max_drop=0.001)
    train = open_source("digits").split("train")
    expected = train.known_targets()[:500]
    answers = np.where(expected == 7, 1, expected)
    drop = paired_drop(np.full(500, True), answers == expected)
    record = gate_record(
        GateResult("undecided", drop, drop, answers, expected, None), asked, train, labels=fp32_bundle.manifest.labels
    )
    assert record.data == train.subset(range(500)).reference()
    assert record.per_class is not None
    assert [each.label for each in record.per_class.classes] == ["7"]
    assert record.per_class.worst is not None
    assert (record.per_class.worst.label, record.per_class.worst.agreed) == ("7", 0)
    assert record.images_needed is None  # these images decide


@pytest.mark.slow
def test_analysis_measures_every_trade(fp32_bundle: Bundle):
    asked, model = gate(fp32_bundle, max_drop=0.02), onnx.load(str(fp32_bundle.model))
    images = calibration_images(fp32_bundle)
    found = build(model, images, options=QuantizationOptions(), gate=asked, analyze=True)
    for layer in found.layers:
        assert layer.trade is not None
        assert layer.trade.regained is not None
        assert layer.trade.regained.images == 250


def test_names_the_images_needed_to_certify(fp32_bundle: Bundle):
    with pytest.raises(UsageError, match=r"certify a drop of 0\.64 points, the limit is 0\.1: use about 3,8\d\d"):
        gate(fp32_bundle, max_drop=0.001, certify=True).check()


def test_no_number_of_images_certifies_a_drop_of_zero(fp32_bundle: Bundle):
    with pytest.raises(UsageError, match="use more than 1,000,000 images"):
        gate(fp32_bundle, max_drop=0.0, certify=True).check()


def test_certify_limits_the_upper_end(planted: onnx.ModelProto, fp32_bundle: Bundle):
    asked = gate(fp32_bundle, max_drop=0.01, certify=True)
    asked.check()
    found = build(planted, calibration_images(fp32_bundle), options=QuantizationOptions(), gate=asked)
    assert found.gated is not None
    assert found.gated.after.high <= 0.01 < found.gated.before.high


def one_layer() -> onnx.ModelProto:
    """Return a graph whose only layer has one channel scaled by 1,000. In INT8 it cannot separate bright and dark."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "conv.weight"], ["maps"], "conv/Conv", kernel_shape=[1, 1]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["means"], keepdims=0),
        helper.make_node("Gemm", ["means", "fc.weight", "fc.bias"], ["logits"], "fc/Gemm", transB=1),
    ]
    constants = {
        "scale": np.float32(1 / 255),
        "axes": np.array([2, 3], np.int64),
        "conv.weight": np.array([1, FACTOR], np.float32).reshape(2, 1, 1, 1),
        "fc.weight": np.array([[1, 0], [0, 0]], np.float32),
        "fc.bias": np.array([0, 0.5], np.float32),
    }
    ends = [
        helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 1]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2]),
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_keeps_at_least_one_layer_in_int8():
    brightness = np.linspace(0, 250, 40).astype(np.uint8).reshape(-1, 1, 1, 1)
    images = np.ascontiguousarray(np.broadcast_to(brightness, (40, 8, 8, 1))).copy()
    images[:, 0] += 1  # more than one colour
    asked = Gate(images, None, 0.0, certify=False)
    with pytest.raises(GateFailed, match="worst: conv") as failed:
        build(one_layer(), images, options=QuantizationOptions(method="minmax"), gate=asked)
    assert failed.value.layers[0].float_wins > 0  # float would help, but no INT8 layer would remain


@pytest.fixture
def ruined(fp32_bundle: Bundle, planted: onnx.ModelProto, tmp_path: Path) -> Bundle:
    """An FP32 bundle that fails the gate with any single layer in float."""
    # Both convolutions have a large channel: with one in float, the other still causes a drop.
    broken = onnx.ModelProto()
    broken.CopyFrom(planted)
    for tensor in broken.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in ("conv2.weight", "conv2.bias"):
            values[3] *= FACTOR
        elif tensor.name == "fc1.weight":
            values[:, 75:100] /= FACTOR  # the 25 positions of that channel
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return create_bundle(
        tmp_path / "fp32",
        manifest=fp32_bundle.manifest,
        model=broken.SerializeToString(),
        self_test=fp32_bundle.self_test(),
        proof=fp32_bundle.proof(),
    )


def test_writes_no_bundle_if_the_gate_fails(ruined: Bundle, tmp_path: Path):
    impossible = QuantizationOptions(max_drop=0.0, percentile=51.0, method="percentile")
    with pytest.raises(GateFailed, match="leaving layers in float does not help") as failed:
        quantize(ruined, open_calibration("digits"), tmp_path / "int8", options=impossible)
    assert {layer.layer for layer in failed.value.layers} == {"conv1", "conv2", "fc1"}
    assert failed.value.drop.drop > 0
    assert not (tmp_path / "int8").exists()


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_reports_a_failed_gate(edgecnn, ruined: Bundle, tmp_path: Path, as_json: bool):
    options = ("--method", "percentile", "--percentile", "51", "--max-drop", "0", *(["--json"] if as_json else []))
    found = edgecnn("quantize", ruined.path, "--calibration", "digits", "--out", tmp_path / "int8", *options)
    assert found.code == 3
    assert "does not help" in found.error
    if as_json:
        layers = json.loads(found.out)["layers"]
        assert {layer["layer"] for layer in layers} == {"conv1", "conv2", "fc1"}
        assert all(layer["float_wins"] is not None for layer in layers)
    else:
        assert "float wins" in found.out
        assert "conv2" in found.out
    assert not (tmp_path / "int8").exists()
