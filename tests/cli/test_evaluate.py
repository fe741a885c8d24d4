"""Tests of `edgecnn evaluate`, and of `verify` with saved logits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle


def test_checkpoint_and_bundle_have_equal_accuracy(
    edgecnn: Callable, checkpoint_path: Path, fp32_bundle: Bundle, tmp_path: Path
):
    results = []
    for subject in (checkpoint_path, fp32_bundle.path):
        result = edgecnn("evaluate", subject, "--data", "digits", "--json")
        assert result.code == 0, result.err
        results.append(json.loads(result.out))
    reference, bundle = results
    assert reference["session"]["engine"] == "pytorch"
    assert bundle["session"]["engine"] in ("onnxruntime", "openvino")
    assert reference["metrics"]["confusion"] == bundle["metrics"]["confusion"]
    top1 = reference["metrics"]["top1"]
    assert top1["images"] == 385
    assert top1["low"] < top1["value"] <= top1["high"]  # all 385 may be right
    assert sum(map(sum, reference["metrics"]["confusion"])) == 385
    assert list(reference["metrics"]["per_class"]) == list("0123456789")


def test_lists_the_worst_class_first(edgecnn: Callable, checkpoint_path: Path):
    result = edgecnn("evaluate", checkpoint_path, "--data", "digits", "--split", "train")
    assert "top-1 " in result.out
    assert "expected calibration error" in result.out
    rates = [float(line.split()[1].rstrip("%")) for line in result.out.splitlines() if line[2:3].isdigit()]
    assert rates == sorted(rates)
    assert len(rates) == 10


def test_writes_a_plot(edgecnn: Callable, checkpoint_path: Path, tmp_path: Path):
    assert edgecnn("evaluate", checkpoint_path, "--data", "digits", "--plot", tmp_path / "p.png").code == 0
    pixels = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    assert pixels.shape == (650, 1500, 3)
    assert (pixels < 128).any()


def test_saved_logits_replace_the_checkpoint(
    edgecnn: Callable, checkpoint_path: Path, int8_bundle: Bundle, tmp_path: Path
):
    saved = tmp_path / "reference.npz"
    assert edgecnn("evaluate", checkpoint_path, "--data", "digits", "--save-logits", saved).code == 0
    results = [
        json.loads(edgecnn("verify", int8_bundle.path, "--data", "digits", "--reference", reference, "--json").out)
        for reference in (checkpoint_path, saved)
    ]
    for key in ("agreement", "top1", "reference_top1"):
        assert results[0]["comparison"][key] == results[1]["comparison"][key]
    assert results[0]["comparison"]["max_error"] == pytest.approx(results[1]["comparison"]["max_error"], abs=1e-4)
    assert results[0]["reference"] == results[1]["reference"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--plot", "x.jpg"], 2, "ends in .png, .svg or .pdf"),
        (["--plot", "/proc/x.png"], 1, "cannot write /proc/x.png"),
        (["--save-logits", "x.json"], 2, "ends in .npz"),
        (["--engine", "openvino"], 2, "a checkpoint runs in PyTorch"),
        (["--data", "nowhere"], 1, "unknown data source"),
    ],
)
def test_rejects_invalid_options(edgecnn: Callable, checkpoint_path: Path, arguments: list[str], code: int, said: str):
    result = edgecnn("evaluate", checkpoint_path, "--data", "digits", *arguments)
    assert result.code == code
    assert said in result.error


def test_rejects_data_with_other_classes(edgecnn: Callable, committed: Bundle, tmp_path: Path):
    for label in ("a", "b"):
        (tmp_path / "test" / label).mkdir(parents=True)
        (tmp_path / "train" / label).mkdir(parents=True)
        for part in ("train", "test"):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / part / label / "1.png")
    result = edgecnn("evaluate", committed.path, "--data", tmp_path)
    assert result.code == 1
    assert "has images of a, b, which" in result.error


def test_rejects_a_missing_subject(edgecnn: Callable, tmp_path: Path):
    result = edgecnn("evaluate", tmp_path / "nothing", "--data", "digits")
    assert result.code == 1
    assert "is not a checkpoint" in result.error


def test_warns_about_calibration_images(edgecnn, int8_bundle: Bundle, fp32_bundle: Bundle):
    seen = edgecnn("evaluate", int8_bundle.path, "--data", "digits", "--split", "train")
    assert seen.code == 0
    assert "was calibrated with 300 of these" in seen.err
    assert edgecnn("evaluate", int8_bundle.path, "--data", "digits", "--split", "train", "--strict").code == 1
    assert "calibrated" not in edgecnn("evaluate", int8_bundle.path, "--data", "digits").err
    assert "calibrated" not in edgecnn("evaluate", fp32_bundle.path, "--data", "digits", "--split", "train").err
