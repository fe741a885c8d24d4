"""Tests of `edgecnn cascade`, and of the other commands with a cascade."""

import json
import shutil
from pathlib import Path

import pytest
from device import OnADevice

from edgecnn.bundle.store import Bundle, open_bundle

pytestmark = pytest.mark.usefixtures("fixed_cost")


def test_prints_threshold_agreement_and_cost(
    edgecnn, weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path: Path
):
    out = tmp_path / "cascade"
    command = ("cascade", weak_bundle.path, fp32_bundle.path, "--data", handwriting.folder, "--out", out)
    found = edgecnn(*command, "--min-agreement", 98, "--unseen")
    assert found.code == 0
    assert f"{out}: fp32+fp32" in found.out
    assert "an image runs again below a margin of" in found.out
    assert ["engine", "images", "run", "again", "agreement"] in [line.split() for line in found.out.splitlines()]
    assert "with 95 % confidence, 98.00% needed" in found.out
    assert "cost on onnxruntime, 1 thread: 1.50 ms per image, 1.50 × the time of the fast graph (1.00 ms)" in found.out
    assert "2.67 × as fast as the accurate graph (4.00 ms)" in found.out
    again = edgecnn(*command, "--unseen")
    assert again.code == 2
    assert "exists already" in again.err
    forced = edgecnn(*command, "--min-agreement", 98, "--unseen", "--force", "--json")
    record = json.loads(forced.out)["proof"]["cascade"]
    assert record["min_agreement"] == pytest.approx(0.98)
    assert open_bundle(out).manifest.cascade.threshold == record["threshold"]


def test_says_which_images_are_missing(
    edgecnn, weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path: Path
):
    command = ("cascade", weak_bundle.path, fp32_bundle.path, "--out", tmp_path / "out", "--data")
    seen = edgecnn(*command, "digits")
    assert seen.code == 2
    assert "training images of digits, so its answers to them do not bound its disagreement" in seen.err
    unstated = edgecnn(*command, handwriting.folder)
    assert unstated.code == 2
    assert "has reserved no images" in unstated.err
    few = edgecnn(*command, handwriting.folder, "--unseen", "--min-agreement", 99.9)
    assert few.code == 2
    assert "it takes 2995 images to choose the threshold and 2995 others" in few.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["0", "100", "-1"])
def test_refuses_an_agreement_that_no_bound_shows(edgecnn, committed: Bundle, tmp_path: Path, value: str):
    found = edgecnn(
        *("cascade", committed.path, committed.path, "--data", "digits"),
        *("--out", tmp_path / "out", "--min-agreement", value),
    )
    assert found.code == 2
    assert "min_agreement must be above 0 and below 100 percent, found" in found.err


def test_verify_runs_both_graphs(edgecnn, cascade_bundle: Bundle, tmp_path: Path):
    found = edgecnn("verify", cascade_bundle.path)
    assert found.code == 0
    assert "(int8+int8)" in found.out
    damaged = Path(shutil.copytree(cascade_bundle.path, tmp_path / "damaged"))
    content = bytearray((damaged / "accurate.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "accurate.onnx").write_bytes(content)
    refused = edgecnn("verify", damaged)
    assert refused.code == 1
    assert "accurate.onnx has changed since it was sealed" in refused.err


def test_pack_unpack_and_install_keep_both_graphs(edgecnn, cascade_bundle: Bundle, tmp_path: Path):
    archive, site = tmp_path / "cascade.edgecnn", tmp_path / "site"
    assert edgecnn("pack", cascade_bundle.path, "--out", archive).code == 0
    assert edgecnn("unpack", archive, "--out", tmp_path / "unpacked").code == 0
    assert open_bundle(tmp_path / "unpacked").digest == cascade_bundle.digest
    assert edgecnn("install", archive, "--to", site).code == 0
    assert open_bundle(site / "current").digest == cascade_bundle.digest


def test_inspect_shows_both_graphs(edgecnn, cascade_bundle: Bundle):
    found = edgecnn("inspect", cascade_bundle.path)
    assert found.code == 0
    assert "lenet-digits-cascade, fast graph" in found.out
    assert "lenet-digits-cascade, accurate graph" in found.out
    assert json.loads(edgecnn("inspect", cascade_bundle.path, "--json").out)["accurate"]["layers"]


@pytest.mark.slow
def test_reserved_images_show_the_bound(edgecnn, tmp_path: Path):
    names = [tmp_path / name for name in ("small", "large")]
    for out, epochs in zip(names, (1, 14), strict=True):
        trained = edgecnn("train", "lenet", "--data", "digits", "--reserve", 0.4, "--epochs", epochs, "--out", out)
        assert trained.code == 0
        assert " reserved" in trained.err
        assert edgecnn("export", out, "--out", tmp_path / f"{out.name}-fp32").code == 0
    quantized = tmp_path / "small-int8"
    assert (
        edgecnn(
            "quantize", tmp_path / "small-fp32", "--calibration", "digits", "--out", quantized, "--max-drop", 100
        ).code
        == 0
    )
    found = edgecnn(
        *("cascade", quantized, tmp_path / "large-fp32", "--data", "digits"),
        *("--out", tmp_path / "out", "--min-agreement", 95, "--json"),
    )
    assert found.code == 0, found.err
    record = json.loads(found.out)["proof"]["cascade"]
    assert record["unseen"] == "reserved"
    assert record["max_disagreement"] <= 0.05
