"""Tests of `edgecnn tune`: profile, output and errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import edgecnn as api
from edgecnn.bundle.store import Bundle
from edgecnn.runtime.profile import profile_path


@pytest.mark.slow
@pytest.mark.usefixtures("idle_machine")
def test_predict_uses_the_tuned_bundle(edgecnn: Callable, both_bundles: Path):
    before = edgecnn("predict", both_bundles, "calibration/digits-sample/train/7/1.png")
    assert before.code == 2
    assert "run `edgecnn tune" in before.error
    tuned = edgecnn("tune", both_bundles, "--budget", "4")
    assert tuned.code == 0, tuned.err
    lines = tuned.out.splitlines()
    assert sum(line.endswith("chosen") for line in lines) == 1
    assert "as fast as PyTorch" in lines[-1]
    assert "saved in " in tuned.err
    after = edgecnn("predict", both_bundles, "calibration/digits-sample/train/7/1.png", "--json")
    assert after.code == 0, after.err
    (answer,) = after.json_lines
    assert answer["label"] == "7"
    with api.load(both_bundles) as classifier:
        assert str(classifier.bundle.path) == answer["bundle"]
        assert classifier.info.engine == answer["engine"]


@pytest.mark.slow
def test_json_contains_the_profile_and_trials(edgecnn: Callable, int8_bundle: Bundle):
    result = edgecnn("tune", int8_bundle.path, "--for", "throughput", "--budget", "4", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["profile"]["purpose"] == "throughput"
    assert found["profile"]["choice"]["bundle"] == int8_bundle.digest
    assert len(found["trials"]) >= 4
    assert found["is_busy"] in (True, False)
    written = json.loads(profile_path(int8_bundle.manifest.reference.digest, "throughput").read_text())
    assert written == found["profile"]


def test_rejects_different_references(edgecnn: Callable, both_bundles: Path, committed: Bundle):
    result = edgecnn("tune", both_bundles, committed.path)
    assert result.code == 2
    assert "come from different references" in result.error


def test_rejects_a_folder_without_bundles(edgecnn: Callable, tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        result = edgecnn("tune", place)
        assert result.code == 1
        assert f"{place} is neither a bundle nor a folder of bundles" in result.error


@pytest.mark.slow
def test_reports_drops_above_the_limit(edgecnn: Callable, int8_bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.tuning.tune.drop_points", lambda bundle, engine: 2.0)
    result = edgecnn("tune", int8_bundle.path)
    assert result.code == 1
    assert "drop of 2.00 points, 0.1 allowed" in result.error


@pytest.mark.slow
def test_strict_saves_no_profile_of_a_busy_machine(
    edgecnn: Callable, committed: Bundle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("edgecnn.tuning.measuring.turn._MOST_HELD_UP", -1.0)  # every turn is disturbed
    strict = edgecnn("tune", committed.path, "--budget", "1", "--strict")
    assert strict.code == 1
    assert "this machine is busy, and the choice may be wrong" in strict.error
    assert not profile_path(committed.manifest.reference.digest, "latency").exists()
    found = edgecnn("tune", committed.path, "--budget", "1")
    assert found.code == 0, found.err
    assert "warning: this machine is busy, and the choice may be wrong" in found.err
    assert "this machine is busy: no speed comparison" in found.out.splitlines()[-1]
    assert profile_path(committed.manifest.reference.digest, "latency").exists()
