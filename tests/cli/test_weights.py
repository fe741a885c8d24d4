"""Weights of other tools on the command line: `export`, `evaluate` and `verify` take the same options."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.common.random_networks import realistic
from edgecnn.bundle.preprocessing import Resize
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.engines.registry import installed

LETTERBOX = ["--resize-mode", "letterbox", "--fill", "114", "--interpolation", "opencv-bilinear"]


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a LeNet with three classes for colour images, saved by DataParallel."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("lenet") / "lenet.pth"
    state = LeNet(3, 3).state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of photographs in different shapes, in the classes 0, 1 and 2."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split in ("train", "test"):
        for index in range(15):
            height, width = generator.integers(60, 200, 2)
            top, left = generator.integers(0, 200, 2)
            part = load_sample_images().images[index % 2][top : top + height, left : left + width]
            place = folder / split / str(index % 3) / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(part).save(place)
    return folder


def notes(result) -> list[str]:
    return [line for line in result.err.splitlines() if line.startswith("note: ")]


def test_evaluates_weights_like_their_checkpoint(edgecnn: Callable, checkpoint_path: Path):
    record = read_checkpoint(checkpoint_path).record
    mean, std = record.preprocessing.mean, record.preprocessing.std
    options = [f"--mean={mean[0]}", f"--std={std[0]}", "--resize", "32,32"]
    weights = checkpoint_path / "model.safetensors"
    found = edgecnn("evaluate", weights, "--arch", "lenet", *options, "--data", "digits", "--json")
    assert found.code == 0, found.err
    expected = edgecnn("evaluate", checkpoint_path, "--data", "digits", "--json")
    assert json.loads(found.out)["metrics"] == json.loads(expected.out)["metrics"]


def test_notes_go_to_stderr(edgecnn: Callable, lenet: Path, pictures: Path):
    result = edgecnn("evaluate", lenet, "--arch", "lenet", "--data", pictures, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["data"]["images"] == 15
    assert notes(result) == [
        f"note: {lenet}: took the entry 'state_dict', removed 'module.'",
        f"note: {lenet} does not say how images are prepared; assumed: image size 32 × 32, resize of the shorter side "
        f"to 37, crop 32 × 32, interpolation bilinear, mean 0.485,0.456,0.406, std 0.229,0.224,0.225",
    ]


def test_strict_accepts_notes(edgecnn: Callable, lenet: Path, pictures: Path):
    assert edgecnn("evaluate", lenet, "--arch", "lenet", "--data", pictures, "--strict").code == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "WEIGHTS", "--data", "digits"], "name the architecture of its weights with --arch"),
        (["evaluate", "WEIGHTS", "--data", "digits", "--arch", "lenet5"], "unknown architecture 'lenet5'"),
        (["evaluate", "BUNDLE", "--data", "digits", "--arch", "lenet"], "is a bundle: remove it"),
        (
            ["evaluate", "BUNDLE", "--data", "digits", "--image-size", "32"],
            "--image-size can only be used with a weights file",
        ),
        (["verify", "BUNDLE", "--arch", "lenet"], "--arch needs weights or a checkpoint as --reference, found none"),
        (["verify", "BUNDLE", "--stem", "small", "--reference", "x.npz"], "--stem needs a weights file"),
        (["verify", "BUNDLE", "--data", "digits", "--reference", "WEIGHTS"], "has 10 names"),
        (
            ["export", "lenet", "--out", "x", "--crop", "none", "--weights-key", "a"],
            "--crop, --key require --weights",
        ),
    ],
)
def test_rejects_options_that_do_not_fit(
    edgecnn: Callable, lenet: Path, committed: Bundle, arguments: list[str], named: str, tmp_path: Path
):
    replaced = {"WEIGHTS": lenet, "BUNDLE": committed.path, "x": tmp_path / "x"}
    result = edgecnn(*[replaced.get(each, each) for each in arguments])
    assert (result.code, named in result.error) == (2, True), result.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--image-size", "0"),
        ("--image-size", "224,"),
        ("--image-size", "1,2,3"),
        ("--image-size", "none"),
        ("--image-size", "224x224"),
        ("--resize", "-1"),
        ("--resize", "2.5"),
        ("--resize", "1e3"),
        ("--resize", "²"),
        ("--resize", "9" * 5000),
        ("--crop", "all"),
        ("--fill", "256"),
        ("--fill", "red"),
        ("--fill", ""),
        ("--mean", "red"),
        ("--mean", ""),
        ("--resize-mode", "stretch"),
        ("--interpolation", "cubic"),
        ("--labels", "nowhere.txt"),
    ],
)
def test_rejects_values_that_are_not_valid(edgecnn: Callable, lenet: Path, option: str, value: str, tmp_path: Path):
    result = edgecnn("export", "lenet", "--weights", lenet, option, value, "--out", tmp_path / "x")
    assert result.code == 2
    assert option in result.error


@pytest.mark.parametrize(
    ("content", "code", "named"),
    [
        ("a\nb\n", 2, "labels.txt has 2 names, WEIGHTS has 3 classes"),
        ("a\n\nb\n", 1, "labels.txt has no name in line 2"),
        ("", 1, "labels.txt is empty"),
    ],
)
def test_rejects_labels(edgecnn: Callable, lenet: Path, content: str, code: int, named: str, tmp_path: Path):
    (tmp_path / "labels.txt").write_text(content)
    result = edgecnn(
        *("export", "lenet", "--weights", lenet, "--labels", tmp_path / "labels.txt", "--out", tmp_path / "x")
    )
    assert result.code == code
    assert named.replace("WEIGHTS", str(lenet)) in result.error


def test_several_sets_of_weights_need_a_key(edgecnn: Callable, tmp_path: Path, pictures: Path):
    torch.save({"model": LeNet(3, 3).state_dict(), "model_ema": LeNet(3, 3).state_dict()}, tmp_path / "w.pth")
    arguments = ["evaluate", tmp_path / "w.pth", "--arch", "lenet", "--data", pictures]
    result = edgecnn(*arguments)
    assert (result.code, "choose model or model_ema with --key" in result.error) == (2, True)
    assert edgecnn(*arguments, "--key", "model_ema").code == 0


@pytest.mark.slow
def test_exports_and_verifies_with_the_same_options(edgecnn: Callable, lenet: Path, pictures: Path, tmp_path: Path):
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"id2label": {"0": "2", "1": "0", "2": "1"}}))
    options = ["--resize", "40", "--interpolation", "box", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
    out = tmp_path / "bundle"
    export = ["export", "lenet", "--weights", lenet, *options, "--labels", labels, "--data", pictures, "--out", out]
    result = edgecnn(*export)
    assert result.code == 0, result.err
    assert notes(result)[1].endswith("assumed: image size 32 × 32, crop 32 × 32")
    manifest = open_bundle(out).manifest
    assert manifest.labels == ("2", "0", "1")
    assert manifest.preprocessing.resize == Resize((40,), "box")
    verify = ["verify", out, "--data", pictures, "--reference", lenet]
    result = edgecnn(*verify, *options)
    assert result.code == 0, result.err
    assert "agreement 100.00%" in result.out
    result = edgecnn(*verify)
    assert result.code == 2
    assert "mean [0.485, 0.456, 0.406], the bundle has [0.5, 0.5, 0.5]" in result.error


@pytest.mark.slow
@pytest.mark.parametrize("options", [LETTERBOX, ["--resize-mode", "longer"]])
def test_non_square_images_reach_every_engine(edgecnn: Callable, pictures: Path, options: list[str], tmp_path: Path):
    weights, out = tmp_path / "resnet18.pth", tmp_path / "wide"
    torch.save(realistic(torchvision.models.resnet18(num_classes=3)).state_dict(), weights)
    described = ["--image-size", "64,96", *options]
    result = edgecnn("export", "resnet18", "--weights", weights, *described, "--data", pictures, "--out", out)
    assert result.code == 0, result.err
    bundle = open_bundle(out)
    assert bundle.manifest.image_shape == (64, 96, 3)
    assert bundle.manifest.network is not None
    assert bundle.manifest.network.image_size == (64, 96)
    verify = ["verify", out, "--data", pictures, "--reference", weights, *described]
    predict = ["predict", out, *sorted((pictures / "test" / "0").iterdir()), "--json"]
    predictions = []
    for engine in installed():
        result = edgecnn(*verify, "--engine", engine)
        assert result.code == 0, result.err
        assert "agreement 100.00%" in result.out
        answers = edgecnn(*predict, "--engine", engine).json_lines
        predictions.append([answer["label"] for answer in answers])
    assert len(predictions[0]) == 5
    assert all(each == predictions[0] for each in predictions)
    int8 = tmp_path / "wide-int8"
    assert edgecnn("quantize", out, "--calibration", pictures, "--count", 8, "--out", int8).code == 0
    assert edgecnn("verify", int8).code == 0


@pytest.mark.slow
def test_says_that_a_network_is_not_trained(edgecnn: Callable, tmp_path: Path):
    torch.manual_seed(0)
    network = torchvision.models.googlenet(num_classes=10, init_weights=True, aux_logits=False)
    torch.save(network.state_dict(), tmp_path / "googlenet.pth")
    arguments = ["--weights", tmp_path / "googlenet.pth", "--image-size", "64", "--no-transform-input"]
    result = edgecnn("export", "googlenet", *arguments, "--out", tmp_path / "x")
    assert result.code == 3
    assert "the logits of this network hardly depend on the image (spread " in result.error
    assert not (tmp_path / "x").exists()
