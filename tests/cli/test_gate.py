"""Tests of the gate of `edgecnn quantize`: its decision, its warning, the trades and the worst class."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from networks import with_large_channel

from edgecnn.bundle.layer_report import FloatTrade, FourBits, LayerReport
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.cli.bundle_text import four_bits_text, layers_text
from edgecnn.runtime.verification.paired import drop_of


@pytest.fixture
def quantized(edgecnn: Callable, fp32_bundle: Bundle, tmp_path: Path) -> Callable:
    """Quantize LeNet to `tmp_path / "q"`."""

    def run(*options: object):
        return edgecnn("quantize", fp32_bundle.path, "--calibration", "digits", "--out", tmp_path / "q", *options)

    return run


@pytest.fixture
def faulty(fp32_bundle: Bundle, tmp_path: Path) -> Bundle:
    """An FP32 bundle with a fault that INT8 exposes in `conv2`."""
    return create_bundle(
        tmp_path / "faulty",
        manifest=fp32_bundle.manifest,
        model=with_large_channel(fp32_bundle.model).SerializeToString(),
        self_test=fp32_bundle.self_test(),
        proof=fp32_bundle.proof(),
    )


@pytest.mark.slow
def test_warns_if_the_images_decide_nothing(quantized: Callable, tmp_path: Path):
    found = quantized("--rounding", "nearest")
    assert found.code == 0
    assert "0.1 allowed; undecided: about 3,838 images needed" in found.out
    assert "warning: the gate is undecided: the drop is +0.00 points [-0.34, +0.34] on " in found.err
    assert "about 3,838 images needed (--gate-count, --gate-data)" in found.err
    gate = open_bundle(tmp_path / "q").proof().gate
    assert gate is not None
    assert (gate.decision, gate.images_needed) == ("undecided", 3838)


def test_strict_rejects_an_undecided_gate(quantized: Callable, tmp_path: Path):
    found = quantized("--rounding", "nearest", "--strict", "--on-undecided", "keep")
    assert found.code == 3
    assert "the gate is undecided" in found.error
    assert "no bundle was written (--strict)" in found.error
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
def test_enough_images_pass_without_a_warning(quantized: Callable, tmp_path: Path):
    found = quantized("--rounding", "nearest", "--max-drop", "2", "--json", "--strict")
    assert (found.code, found.err) == (0, "")
    proof = json.loads(found.out)["proof"]
    assert proof["gate"]["decision"] == "passed"
    assert proof["gate"]["after"]["high"] <= 0.02
    assert proof["gate"]["data"]["images"] == proof["gate"]["after"]["images"]
    assert "images_needed" not in proof["gate"]
    assert all(set(each["per_class"]) == {"worst", "classes"} for each in proof["engines"])


@pytest.mark.slow
def test_limits_the_images(quantized: Callable, tmp_path: Path):
    assert quantized("--rounding", "nearest", "--gate-count", "120").code == 0
    gate = open_bundle(tmp_path / "q").proof().gate
    assert gate is not None
    assert gate.data.images == gate.after.images == 120


@pytest.mark.slow
def test_shows_the_trade_of_a_layer_left_in_float(
    edgecnn: Callable, faulty: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    command = ("quantize", faulty.path, "--calibration", "digits", "--out", tmp_path / "q", "--method", "minmax")
    found = edgecnn(*command, "--max-drop", "2")
    assert found.code == 0, found.err
    text = " ".join(found.out.split())
    assert "with conv2 in float; repaired" in text
    assert "trade of each layer alone in float (points regained, ms and MB added):" in found.out
    (row,) = [line for line in found.out.splitlines() if line.startswith("conv2 ")]
    assert row.endswith("+0.00514")
    assert max(map(len, found.out.splitlines())) <= 80
    proof = open_bundle(tmp_path / "q").proof()
    assert proof.gate is not None
    assert proof.gate.before.images < proof.gate.after.images  # the failure is clear after the first images
    trades = {layer.layer: layer.trade for layer in proof.layers}
    assert trades["conv2"] is not None
    assert trades["conv2"].regained is not None
    assert trades["conv2"].regained.low > 0.5
    assert trades["conv1"] is trades["fc1"] is None


@pytest.mark.slow
def test_shows_linear_layers_that_were_tried_in_4_bits(quantized: Callable, tmp_path: Path):
    found = quantized("--linear-weights", "int4", "--rounding", "nearest", "--max-drop", "2", "--min-agreement", "90")
    assert found.code == 0, found.err
    assert "with fc1 in 4 bits" in " ".join(found.out.split())
    lines = found.out.splitlines()
    start = lines.index("linear layers tried in 4 bits, in turn (drop in points, MB saved):")
    assert lines[start + 1].split() == ["layer", "bits", "drop", "agreement", "needed", "MB"]
    assert lines[start + 2].split()[:2] == ["fc1", "4"]
    assert "90.00%" in lines[start + 2]
    bundle = open_bundle(tmp_path / "q")
    assert bundle.manifest.graph.weights["fc1.weight"] == "int4"
    assert bundle.proof().gate is not None
    assert bundle.proof().gate.agreement >= 0.9


def test_tables_of_4_bits_fit_80_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    trials = [
        FourBits(18_874_368, drop_of(5000, 0, 5000), 0.98765, 0.99123, "gate: 4 bits cost too much"),
        FourBits(500),
    ]
    layers = [
        LayerReport("features.denseblock4.denselayer16.classifier", 30.1, 40.2, 0, 1, 0, four_bits=each)
        for each in trials
    ]
    lines = four_bits_text(layers)
    assert max(len(line) for text in lines for line in text.splitlines()) <= 80
    assert " 8 " in lines[1].splitlines()[1]
    assert "98.77%" in lines[1].splitlines()[1]


@pytest.mark.parametrize("slower_ms", [0.0123, 1.5, 123.4])
def test_trades_of_large_layers_fit_80_columns(monkeypatch: pytest.MonkeyPatch, slower_ms: float):
    monkeypatch.setenv("COLUMNS", "80")
    trade = FloatTrade(drop_of(250, 0, 250), slower_ms, -slower_ms, 2 * slower_ms, 411_041_792)
    layer = LayerReport("features.denseblock4.denselayer16.conv2", 30.1, 40.2, -10.5, 20.5, 0.001, 0.01, trade)
    lines = layers_text([layer], {}).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("  +411")


@pytest.mark.slow
def test_names_the_worst_class(quantized: Callable, tmp_path: Path):
    found = quantized("--method", "percentile", "--percentile", "60", "--max-drop", "1.5")
    assert found.code == 0, found.err
    gate = open_bundle(tmp_path / "q").proof().gate
    assert gate is not None
    assert gate.per_class is not None
    assert gate.per_class.worst is not None
    assert f"  worst class {gate.per_class.worst.label}" in found.out
    assert sum(each.lost for each in gate.per_class.classes) == gate.after.lost
    assert sum(each.won for each in gate.per_class.classes) == gate.after.won
