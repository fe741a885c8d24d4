"""Two small linear layers replace a large one: exact at full rank, and closer than a decomposition of the weights."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import with_wide_layer
from onnx import numpy_helper

from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.calibration_config import held_out, open_calibration
from edgecnn.pipeline.quantization.gate import Gate
from edgecnn.pipeline.quantization.low_rank import Factors, factored, find_factors, ranks_of
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.quantization.rank_choice import candidates
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.runtime.engines.registry import installed

LOW_RANK = QuantizationOptions(low_rank=True)


@pytest.fixture(scope="module")
def images(fp32_bundle: Bundle) -> np.ndarray:
    return open_calibration("digits").chosen.all_pixels(fp32_bundle.manifest.preprocessing)


@pytest.fixture(scope="module")
def gate(fp32_bundle: Bundle) -> Gate:
    calibration = open_calibration("digits")
    split = held_out(calibration.source.split("train"), calibration.chosen, 300, 0)
    return Gate(split.all_pixels(fp32_bundle.manifest.preprocessing), split.targets, 0.02, certify=False)


@pytest.fixture(scope="module")
def wide(fp32_bundle: Bundle) -> onnx.ModelProto:
    """LeNet with a layer of 400 inputs and 1024 outputs."""
    return canonicalise(with_wide_layer(fp32_bundle.model))


@pytest.fixture(scope="module")
def factors(wide: onnx.ModelProto, images: np.ndarray) -> Factors:
    (found,) = find_factors(wide.graph, Calibration(wide, images))
    return found


@pytest.fixture(scope="module")
def wide_bundle(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return create_bundle(
        tmp_path_factory.mktemp("wide") / "wide",
        manifest=fp32_bundle.manifest,
        model=with_wide_layer(fp32_bundle.model).SerializeToString(),
        self_test=fp32_bundle.self_test(),
        proof=fp32_bundle.proof(),
    )


def outputs_of(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Return the outputs of the layer `wide` or of its factors."""
    seen: list[np.ndarray] = []
    observer = type("Observer", (), {"update": lambda _, values: seen.append(values.copy())})()
    Calibration(model, images).observe({"wide_0": [observer]})
    return np.concatenate(seen)


def sizes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def test_ranks_have_the_stated_shares_of_the_weights():
    ranks = ranks_of(4096, 9216)
    assert ranks == (352, 704, 1056, 1408)
    assert [rank * (4096 + 9216) / (4096 * 9216) for rank in ranks] == pytest.approx(
        [1 / 8, 1 / 4, 3 / 8, 1 / 2], abs=0.01
    )


def test_factors_are_exact_at_full_rank(wide: onnx.ModelProto, factors: Factors, fp32_bundle: Bundle):
    made = factored(wide, [(factors, 120)])
    images = fp32_bundle.self_test().images
    assert trial_logits(made, images) == pytest.approx(trial_logits(wide, images), abs=1e-3)
    assert sizes(made)["wide.reduce.weight"] == (120, 400)
    assert sizes(made)["wide.expand.weight"] == (1024, 120)
    assert "wide.weight" not in sizes(made)
    assert [node.name for node in made.graph.node if node.name.startswith("wide")] == [
        "wide.reduce/Gemm",
        "wide.expand/Gemm",
    ]


def test_factors_are_closer_than_a_decomposition_of_the_weights(wide: onnx.ModelProto, factors: Factors, gate: Gate):
    rank, pixels = 16, gate.images[:200]
    truncated = onnx.ModelProto()
    truncated.CopyFrom(wide)
    tensor = next(each for each in truncated.graph.initializer if each.name == "wide.weight")
    left, values, right = np.linalg.svd(numpy_helper.to_array(tensor), full_matrices=False)
    tensor.CopyFrom(numpy_helper.from_array((left[:, :rank] * values[:rank]) @ right[:rank], tensor.name))
    exact = outputs_of(wide, pixels)
    ours, theirs = (
        float(np.mean((outputs_of(model, pixels) - exact) ** 2))
        for model in (factored(wide, [(factors, rank)]), truncated)
    )
    assert ours < 0.5 * theirs


def test_kept_variance_grows_to_one(factors: Factors):
    kept = [factors.report(rank).kept_variance for rank in (1, 16, 64, 120)]
    assert kept == sorted(kept)
    assert kept[-1] == pytest.approx(1, abs=1e-6)
    report = factors.report(32)
    assert (report.layer, report.outputs, report.inputs, report.rank) == ("wide", 1024, 400, 32)
    assert report.share == pytest.approx(32 * 1424 / (1024 * 400))


def test_constant_outputs_have_no_components(wide: onnx.ModelProto, images: np.ndarray):
    flat = onnx.ModelProto()
    flat.CopyFrom(wide)
    tensor = next(each for each in flat.graph.initializer if each.name == "wide.weight")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((1024, 400), np.float32), tensor.name))
    (found,) = find_factors(flat.graph, Calibration(flat, images[:100]))
    made = factored(flat, [(found, found.ranks[0])])
    assert trial_logits(made, images[:4]) == pytest.approx(trial_logits(flat, images[:4]), abs=1e-4)


@pytest.mark.parametrize("count", [20, 32])
def test_names_the_number_of_images_that_ranks_need(wide: onnx.ModelProto, images: np.ndarray, count: int):
    with pytest.raises(UsageError, match=f"wide has ranks 32 to 128, found {count} images; use --count 129, or at"):
        find_factors(wide.graph, Calibration(wide, images[:count]))


def test_leaves_out_ranks_without_enough_images(wide: onnx.ModelProto, images: np.ndarray):
    (found,) = find_factors(wide.graph, Calibration(wide, images[:80]))
    assert found.ranks == (32, 64)


def test_refuses_a_network_without_large_linear_layers(fp32_bundle: Bundle, images: np.ndarray, gate: Gate):
    model = onnx.load(str(fp32_bundle.model))
    with pytest.raises(UsageError, match="no linear layer of this network is large enough for --low-rank"):
        build(model, images, options=LOW_RANK, gate=gate)


def test_refuses_to_choose_ranks_without_a_gate(wide: onnx.ModelProto, images: np.ndarray):
    with pytest.raises(UsageError, match="--low-rank needs a gate"):
        build(wide, images[:50], options=LOW_RANK)


def chosen(wide: onnx.ModelProto, factors: Factors, gate: Gate) -> list[int]:
    """Return the rank of each candidate."""
    return [rank for ((_, rank),) in candidates(wide, [factors], gate, gate.referee(wide))]


def test_candidates_start_with_the_smallest_rank_that_passes(wide: onnx.ModelProto, factors: Factors, gate: Gate):
    easy = dataclasses.replace(gate, max_drop=1.0, min_agreement=0.0)
    assert chosen(wide, factors, easy) == [32, 64, 96, 128]
    spoilt = dataclasses.replace(factors, components=factors.components[:, ::-1])  # the least variance first
    assert chosen(wide, spoilt, dataclasses.replace(gate, min_agreement=0.99)) == []


@pytest.fixture(scope="module")
def built(wide: onnx.ModelProto, images: np.ndarray, gate: Gate) -> Built:
    return build(wide, images, options=LOW_RANK, gate=gate)


def test_gate_chooses_a_rank(built: Built):
    (layer,) = built.low_rank
    assert layer.layer == "wide"
    assert built.gated is not None
    assert built.gated.min_agreement is not None  # below the agreement of INT8 without low-rank layers
    assert 0.97 < built.gated.min_agreement < 1
    assert built.gated.agreement >= built.gated.min_agreement
    assert {"wide.reduce", "wide.expand"} <= {each.layer for each in built.layers} | {
        name.removesuffix(".weight") for name in built.placement.float_tensors
    }


@pytest.mark.slow
def test_keeps_the_whole_layer_if_no_rank_passes(
    wide: onnx.ModelProto, images: np.ndarray, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("edgecnn.pipeline.quantization.low_rank._principal", _worst_directions)
    found = build(wide, images, options=LOW_RANK, gate=gate)
    assert found.low_rank == ()
    assert "wide.weight" in found.placement.weights
    assert found.gated is not None
    assert found.gated.min_agreement is None


def _worst_directions(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return directions in which the outputs do not change."""
    count = len(centred)
    _, _, directions = np.linalg.svd(centred, full_matrices=True)
    return np.ones(count - 1), directions[::-1].T[:, : count - 1].astype(np.float64)


@pytest.mark.parametrize("engine", installed())
@pytest.mark.slow
def test_bundle_records_its_ranks_and_runs(
    wide_bundle: Bundle, tmp_path: Path, engine: str, edgecnn, recwarn: pytest.WarningsRecorder
):
    out = tmp_path / "low-rank"
    options = QuantizationOptions(low_rank=True, min_agreement=97, max_drop=2, gate_count=300)
    quantized = quantize(wide_bundle, open_calibration("digits"), out, options=options)
    bundle = open_bundle(out)
    (layer,) = bundle.proof().low_rank
    assert (layer.layer, layer.outputs, layer.inputs) == ("wide", 1024, 400)
    saved = layer.outputs * layer.inputs - layer.rank * (layer.outputs + layer.inputs)
    assert bundle.manifest.macs == wide_macs(wide_bundle) - saved
    assert bundle.proof().gate is not None
    assert bundle.proof().gate.agreement >= bundle.proof().gate.min_agreement == 0.97
    assert quantized.warnings == () or "undecided" in quantized.warnings[0]
    found = edgecnn("verify", out, "--engine", engine)
    assert found.code == 0, found.error
    assert json.loads(edgecnn("inspect", out, "--json").out)


def wide_macs(bundle: Bundle) -> int:
    from edgecnn.pipeline.inspection.graph import count_macs

    return count_macs(onnx.load(str(bundle.model)))
