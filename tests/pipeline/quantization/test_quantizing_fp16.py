"""FP16 bundles of a real network: their proof, their gate, and errors."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgecnn.bundle.graph_entry import Graph
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import GateFailed, ProofFailed, UsageError
from edgecnn.files import schema
from edgecnn.pipeline.data.photographs import PHOTOGRAPHS
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import open_calibration
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import Quantized, quantize
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import replay


def options(**others: Any) -> QuantizationOptions:
    return QuantizationOptions(precision="fp16", **others)


def made(parent: Bundle, out: Path, **others: Any) -> Quantized:
    return quantize(parent, None, out, options=options(), **others)


def changed(parent: Bundle, out: Path, *, source: str | None = None, offset: float = 0.0) -> Bundle:
    """Return a copy of a bundle whose proof has another source, and with an offset added to the last weights."""
    model, proof = onnx.load(str(parent.model)), parent.proof()
    for tensor in model.graph.initializer:
        if tensor.name == "fc3.weight":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(offset), tensor.name))
    if source is not None:
        proof = dataclasses.replace(proof, data=dataclasses.replace(proof.data, source=source))
    return create_bundle(
        out,
        manifest=parent.manifest,
        model=model.SerializeToString(),
        self_test=parent.self_test(),
        proof=proof,
    )


@pytest.fixture
def fragile(fp32_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A bundle whose last weights differ less than float16 resolves: each has the same offset."""
    return changed(fp32_bundle, tmp_path / "fragile", offset=2000.0)


def test_every_answer_agrees(fp32_bundle: Bundle, fp16_bundle: Bundle):
    proof = fp16_bundle.proof()
    assert {engine.engine for engine in proof.engines} == set(installed())
    for engine in proof.engines:
        assert engine.comparison.agreement == 1
        assert engine.comparison.top1 == engine.comparison.reference_top1
    for name in installed():
        session = open_session(fp16_bundle, engine=name)
        assert replay(fp16_bundle.self_test(), session, fp16_bundle.manifest.preprocessing).holds
    assert proof.data == fp32_bundle.proof().data


def test_bundle_records_its_weights_and_parent(fp32_bundle: Bundle, fp16_bundle: Bundle):
    manifest, proof = fp16_bundle.manifest, fp16_bundle.proof()
    assert (manifest.precision, manifest.quantization, manifest.graph.float_tensors) == ("fp16", None, None)
    assert manifest.graph.weights["conv2.weight"] == "fp16"
    assert manifest.macs == fp32_bundle.manifest.macs
    assert manifest.reference == fp32_bundle.manifest.reference
    assert fp32_bundle.digest in proof.reference
    assert (manifest.provenance.calibration, proof.calibration_images, proof.gate) == (None, (), None)


def test_only_fp16_has_float_tensors_of_its_own():
    graph = Graph("model.onnx", "fp16", weights={"a": "fp32"}, float_tensors={"a": "float16 overflows"})
    assert schema.read(Graph, schema.plain(graph)) == graph
    assert "float_tensors" not in schema.plain(Graph("model.onnx", "fp16"))
    with pytest.raises(ValueError, match="which only fp16 has"):
        Graph("model.onnx", "fp32", float_tensors={})


@pytest.mark.slow
def test_gate_needs_only_training_images(fp32_bundle: Bundle, tmp_path: Path):
    gate = {"gate_data": open_source("digits")}
    found = quantize(fp32_bundle, None, tmp_path / "a", options=options(max_drop=2), **gate)
    record = found.bundle.proof().gate
    assert record is not None
    assert (record.decision, record.before, record.data.split) == ("passed", record.after, "train")
    assert record.after.drop == 0
    assert found.warnings == ()


@pytest.mark.slow
def test_calibration_is_a_source_only(fp32_bundle: Bundle, tmp_path: Path):
    calibration = open_calibration("digits", count=10_000)
    found = quantize(fp32_bundle, calibration, tmp_path / "a", options=options())
    gate = found.bundle.proof().gate
    assert gate is not None  # although calibration would take all training images
    assert gate.decision == "undecided"
    (warning,) = found.warnings
    assert warning.startswith("the gate is undecided: the drop is +0.00 points")
    assert found.bundle.proof().calibration_images == ()


def test_gate_fails(fragile: Bundle, tmp_path: Path):
    with pytest.raises(GateFailed, match=r"FP16 costs \+\d+\.\d\d points .* keep FP32") as failed:
        quantize(fragile, None, tmp_path / "a", options=options(max_drop=1), gate_data=open_source("digits"))
    assert failed.value.layers == ()
    assert failed.value.drop.drop > 0.01
    assert not (tmp_path / "a").exists()


def test_proof_fails_without_a_gate(fragile: Bundle, tmp_path: Path):
    with pytest.raises(ProofFailed, match=r"error of the FP16 logits is .*: .* no bundle was written; keep FP32"):
        made(fragile, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_uses_photographs_if_the_parent_did(fp32_bundle: Bundle, tmp_path: Path):
    parent = changed(fp32_bundle, tmp_path / "parent", source=PHOTOGRAPHS)
    proof = made(parent, tmp_path / "a").bundle.proof()
    assert proof.data.source == PHOTOGRAPHS
    assert proof.engines[0].comparison.top1 is None
    assert proof.engines[0].comparison.agreement > 0.9


@pytest.mark.parametrize("source", ["holiday", "../holiday"])
def test_requires_data_if_the_images_are_elsewhere(fp32_bundle: Bundle, tmp_path: Path, source: str):
    parent = changed(fp32_bundle, tmp_path / "parent", source=source)
    with pytest.raises(
        UsageError, match=r"parent's proof, '.*holiday', are not in this folder: pass images with --dat"
    ):
        made(parent, tmp_path / "a")


@pytest.mark.slow
def test_data_replaces_the_images_of_the_parent(fp32_bundle: Bundle, tmp_path: Path):
    parent = changed(fp32_bundle, tmp_path / "parent", source="holiday")
    assert made(parent, tmp_path / "a", data=open_source("digits")).bundle.proof().data.source == "digits"


def test_rejects_parents_that_are_not_fp32(fp16_bundle: Bundle, int8_bundle: Bundle, tmp_path: Path):
    with pytest.raises(UsageError, match="already fp16: quantize its FP32 parent"):
        quantize(fp16_bundle, open_calibration("digits"), tmp_path / "a")
    with pytest.raises(UsageError, match="already int8: quantize its FP32 parent"):
        made(int8_bundle, tmp_path / "a")


def test_rejects_options_of_int8(fp32_bundle: Bundle, tmp_path: Path):
    with pytest.raises(ValueError, match="full_range, rounding apply to INT8 only, found precision fp16: remove them"):
        options(full_range=True, rounding="nearest")
    for argument in ({"analyze": True}, {"seeds": 2}):
        (name,) = argument
        with pytest.raises(UsageError, match=f"{name} applies to INT8 only, found precision fp16: remove it"):
            made(fp32_bundle, tmp_path / "a", **argument)
    with pytest.raises(UsageError, match="--calibration is missing: pass training images, which INT8 needs"):
        quantize(fp32_bundle, None, tmp_path / "a")
