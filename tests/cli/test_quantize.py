"""What `edgecnn quantize` says at its end: the layers, the gate, the spread, and whether INT8 is worth it."""

import json
from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle, open_bundle

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "calibration" / "digits.json"


def test_it_ends_with_the_truth(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    found = edgecnn(
        "quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", "--analyze", "--seeds", 2
    )
    assert found.code == 0
    assert "float wins" in found.out
    assert "gate: drop +0.00 points" in found.out
    assert "2 calibration sets: agreement" in found.out
    assert "× as fast" in found.out
    conclusion = found.out.splitlines()[-1]
    assert "FP32" in conclusion
    assert "× smaller" in conclusion
    wins = [layer.float_wins for layer in open_bundle(tmp_path / "q").proof().layers]
    assert wins == sorted(wins, reverse=True)


def test_json_holds_all_of_it(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    command = ("quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", "--seeds", 2, "--json")
    found = json.loads(edgecnn(*command).out)
    assert {seed["seed"] for seed in found["seeds"]} == {0, 1}
    assert found["verdict"]["conclusion"]
    for engine in found["verdict"]["engines"]:
        assert engine["drop"]["low"] <= engine["drop"]["drop"] <= engine["drop"]["high"]
        assert engine["int8"]["median_ms"] > 0
    assert found["proof"]["gate"]["after"]["drop"] <= 0.001


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (("--max-drop", "-1"), "max_drop must be in 0..100 points"),
        (("--percentile", "20"), "percentile must be above 50"),
        (("--gate-count", "0"), "gate_count must be at least 1"),
        (("--certify",), "certify a drop of"),
        (("--gate-data", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(edgecnn, fp32_bundle: Bundle, tmp_path: Path, option, expected: str):
    found = edgecnn("quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", *option)
    assert found.code in (1, 2)
    assert expected in found.error
    assert not (tmp_path / "q").exists()
