"""Commands match the classes of images with the classes of a model by name, and calibrate without classes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from device import OnADevice
from PIL import Image

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.models.lenet import LeNet


@pytest.fixture
def some_digits(on_a_device: OnADevice, tmp_path: Path) -> Path:
    """The digits 9 and 3 as an image folder."""
    root = tmp_path / "some"
    for split in ("train", "test"):
        for label in "93":
            shutil.copytree(on_a_device.folder / split / label, root / split / label)
    return root


def test_evaluates_a_subset_of_the_classes(edgecnn: Callable, some_digits: Path, committed: Bundle):
    found = edgecnn("evaluate", committed.path, "--data", some_digits, "--split", "test", "--json")
    assert found.code == 0, found.err
    assert "has images of 2 of the 10 classes of" in found.err
    metrics = json.loads(found.out)["metrics"]
    assert metrics["top1"]["value"] > 0.95
    assert {label for label, rate in metrics["per_class"].items() if rate["images"]} == {"3", "9"}
    assert edgecnn("evaluate", committed.path, "--data", some_digits, "--strict").code == 1


def test_names_unknown_classes(edgecnn: Callable, some_digits: Path, committed: Bundle, tmp_path: Path):
    shutil.copytree(some_digits, tmp_path / "more")
    (tmp_path / "more" / "test" / "3").rename(tmp_path / "more" / "test" / "three")
    (tmp_path / "more" / "train" / "3").rename(tmp_path / "more" / "train" / "three")
    found = edgecnn("evaluate", committed.path, "--data", tmp_path / "more")
    assert found.code == 1
    assert found.err.startswith("error: more has images of three, which ")
    assert len(found.err.splitlines()) == 1


@pytest.fixture(scope="module")
def unsorted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights whose labels are not in sorted order, and images of their classes."""
    root = tmp_path_factory.mktemp("unsorted")
    torch.manual_seed(0)
    torch.save(LeNet(3, 3).state_dict(), root / "w.pth")
    (root / "labels.txt").write_text("dog\ncat\nbird\n")
    for split, count in (("train", 20), ("test", 6)):
        for number, label in enumerate(("bird", "cat", "dog")):
            (root / "pets" / split / label).mkdir(parents=True)
            for index in range(count):
                picture = Image.effect_noise((40, 40), 60).convert("RGB")
                picture.putpixel((index, number), (255, number, index))
                picture.save(root / "pets" / split / label / f"{index}.png")
    return root


@pytest.mark.slow
def test_quantizes_weights_with_unsorted_labels(edgecnn: Callable, unsorted: Path, tmp_path: Path):
    weights = ("--weights", unsorted / "w.pth", "--labels", unsorted / "labels.txt", "--image-size", "32")
    data = ("--data", unsorted / "pets")
    exported = edgecnn("export", "lenet", *weights, *data, "--out", tmp_path / "fp32")
    assert exported.code == 0, exported.err
    evaluated = [
        edgecnn("evaluate", tmp_path / "fp32", *data, "--json"),
        edgecnn(
            "quantize", tmp_path / "fp32", "--calibration", unsorted / "pets", "--out", tmp_path / "int8", "--json"
        ),
    ]
    assert [each.code for each in evaluated] == [0, 0], [each.err for each in evaluated]
    metrics = json.loads(evaluated[0].out)["metrics"]
    assert list(metrics["per_class"]) == ["dog", "cat", "bird"]
    assert metrics["top1"]["images"] == 18


@pytest.mark.slow
def test_calibrates_without_classes(edgecnn: Callable, fp32_bundle: Bundle, on_a_device: OnADevice, tmp_path: Path):
    (tmp_path / "flat").mkdir()
    for path in sorted((on_a_device.folder / "train").rglob("*.png"))[::7]:
        shutil.copy(path, tmp_path / "flat")
    options = ("--calibration", tmp_path / "flat", "--count", "60", "--json")
    found = edgecnn("quantize", fp32_bundle.path, *options, "--out", tmp_path / "int8")
    assert found.code == 0, found.err
    shown = json.loads(found.out)
    assert all(engine["drop"] is None for engine in shown["speed_comparison"]["engines"])
    found = edgecnn("quantize", fp32_bundle.path, *options, "--data", "digits", "--out", tmp_path / "proven")
    assert found.code == 0, found.err
    assert all(engine["drop"] is not None for engine in json.loads(found.out)["speed_comparison"]["engines"])


def test_strict_export_refuses_left_out_files(edgecnn: Callable, unsorted: Path, tmp_path: Path):
    shutil.copytree(unsorted / "pets", tmp_path / "pets")
    (tmp_path / "pets" / "test" / "cat" / "notes.txt").write_text("x")
    weights = ("--weights", unsorted / "w.pth", "--labels", unsorted / "labels.txt", "--image-size", "32")
    found = edgecnn("export", "lenet", *weights, "--data", tmp_path / "pets", "--strict", "--out", tmp_path / "b")
    assert found.code == 1
    assert "1 file is left out: test/cat/notes.txt is not" in found.error
    assert not (tmp_path / "b").exists()
