"""`edgecnn tune`: what is kept, what is said, and what a beginner gets wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import edgecnn as api
from edgecnn.bundle.store import Bundle
from edgecnn.runtime.profile import profile_path


@pytest.fixture
def folder(fp32_bundle: Bundle, int8_bundle: Bundle) -> Path:
    return fp32_bundle.path.parent


@pytest.mark.slow
def test_a_tuned_folder_stands_for_its_best_bundle(edgecnn: Callable, folder: Path):
    before = edgecnn("predict", folder, "calibration/digits-sample/train/7/1.png")
    assert before.code == 2
    assert "run `edgecnn tune" in before.error
    tuned = edgecnn("tune", folder, "--budget", "4")
    assert tuned.code == 0, tuned.err
    lines = tuned.out.splitlines()
    assert sum(line.endswith("chosen") for line in lines) == 1
    assert "faster than PyTorch" in lines[-1]
    assert "kept in " in tuned.err
    after = edgecnn("predict", folder, "calibration/digits-sample/train/7/1.png", "--json")
    assert after.code == 0, after.err
    answer = json.loads(after.out)
    assert answer["predictions"][0]["label"] == "7"
    with api.load(folder) as classifier:
        assert str(classifier.bundle.path) == answer["bundle"]
        assert classifier.info.engine == answer["session"]["engine"]


@pytest.mark.slow
def test_json_gives_the_profile_and_every_trial(edgecnn: Callable, int8_bundle: Bundle):
    result = edgecnn("tune", int8_bundle.path, "--for", "throughput", "--budget", "4", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["profile"]["purpose"] == "throughput"
    assert found["profile"]["choice"]["bundle"] == int8_bundle.digest
    assert len(found["trials"]) >= 4
    written = json.loads(profile_path(int8_bundle.manifest.reference.digest, "throughput").read_text())
    assert written == found["profile"]


def test_bundles_of_different_references_are_a_usage_error(edgecnn: Callable, folder: Path, committed: Bundle):
    result = edgecnn("tune", folder, committed.path)
    assert result.code == 2
    assert "come from different references" in result.error


def test_a_place_without_bundles_is_named(edgecnn: Callable, tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        result = edgecnn("tune", place)
        assert result.code == 1
        assert f"{place} is neither a bundle nor a folder of bundles" in result.error


@pytest.mark.slow
def test_a_drop_that_cannot_be_met_says_what_each_costs(
    edgecnn: Callable, int8_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("edgecnn.tuning.tune.drop_points", lambda bundle, engine: 2.0)
    result = edgecnn("tune", int8_bundle.path)
    assert result.code == 1
    assert "it costs 2.00 points, 0.1 allowed" in result.error
