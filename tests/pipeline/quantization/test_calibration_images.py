"""Tests of the images that quantization calibrates with: how they are chosen, and which are rejected."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import SourceError, TestSplitRefused, UsageError
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.held_out import reserved
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import (
    CalibrationImages,
    held_out,
    open_calibration,
    short_digests,
)
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.quantization.splits import open_gate

CALIBRATION = Path(__file__).parents[3] / "calibration"


def test_gate_excludes_calibration_images():
    calibration = open_calibration("digits")
    train = calibration.source.split("train")
    fresh = held_out(train, calibration.chosen, 500, 0)
    assert len(fresh) == 500
    assert not set(short_digests(fresh)) & set(short_digests(calibration.chosen))


def test_reserved_images_serve_neither_calibration_nor_gate(committed: Bundle):
    source = open_source("digits")
    known = short_digests(reserved(source.split("train"), 0.5))
    calibration = open_calibration("digits", count=2000, reserved=0.5)
    assert not set(known) & set(short_digests(calibration.chosen))
    provenance = dataclasses.replace(committed.manifest.provenance, reserved=0.5)
    parent = dataclasses.replace(committed, manifest=dataclasses.replace(committed.manifest, provenance=provenance))
    gate = open_gate(parent, None, source, QuantizationOptions(precision="fp16"))
    assert gate is not None
    assert not set(known) & set(short_digests(gate[1]))


def test_calibration_balances_the_classes():
    targets = open_calibration("digits", count=100).chosen.known_targets()
    assert np.bincount(targets).tolist() == [10] * 10


def test_committed_configs_match_their_images():
    for config in ("digits.json", "digits-sample.json"):
        assert len(open_calibration(str(CALIBRATION / config)).chosen) in (300, 30)


def test_the_seed_determines_the_images():
    first, again, other = (open_calibration("digits", count=50, seed=seed).chosen.digest for seed in (0, 0, 1))
    assert first == again != other


def write_config(folder: Path, **changes: object) -> str:
    config = json.loads((CALIBRATION / "digits.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder / "config.json")


def test_rejects_a_config_with_the_test_split(tmp_path: Path):
    with pytest.raises(TestSplitRefused, match="calibration must not use test images"):
        open_calibration(write_config(tmp_path, split="test"))


def test_rejects_a_config_with_changed_images(tmp_path: Path):
    with pytest.raises(SourceError, match="has changed"):
        open_calibration(write_config(tmp_path, digest="0" * 64))


@pytest.mark.parametrize("changes", [{"count": 0}, {"surprise": 1}, {"count": "many"}])
def test_rejects_an_invalid_config(tmp_path: Path, changes: dict[str, object]):
    with pytest.raises(UsageError, match=r"config\.json"):
        open_calibration(write_config(tmp_path, **changes))


def test_rejects_a_missing_config():
    with pytest.raises(UsageError, match="does not exist"):
        open_calibration("nowhere.json")


def test_rejects_images_of_other_classes(fp32_bundle: Bundle, tmp_path: Path):
    from edgecnn.pipeline.data.mnist import FashionMnist

    class Clothes(FashionMnist):
        def split(self, name: str):
            return open_source("digits").split(name)

    with pytest.raises(SourceError, match="t-shirt"):
        quantize(fp32_bundle, open_calibration("digits"), tmp_path / "x", data=Clothes())


def black_and_white(place: Path) -> Path:
    """Create ten classes of blank images."""
    for label in range(10):
        for split in ("train", "test"):
            folder = place / split / str(label)
            folder.mkdir(parents=True)
            Image.new("L", (8, 8), label).save(folder / "1.png")
    return place


def test_rejects_blank_calibration_images(fp32_bundle: Bundle, tmp_path: Path):
    calibration = open_calibration(str(black_and_white(tmp_path / "empty")))
    digits = open_source("digits")
    with pytest.raises(UsageError, match="calibration images are blank"):
        quantize(fp32_bundle, calibration, tmp_path / "y", data=digits, strict=True)
    assert not (tmp_path / "y").exists()


def test_rejects_copies_of_test_images(fp32_bundle: Bundle, tmp_path: Path):
    place, digits = black_and_white(tmp_path / "copied"), open_source("digits")
    test = digits.split("test")
    for index in range(50):
        Image.fromarray(np.asarray(test.images[index])).save(
            place / "train" / str(test.known_targets()[index]) / f"copy-{index}.png"
        )
    source = open_source(str(place))
    calibration = CalibrationImages(source, source.split("train"), 0)
    with pytest.raises(TestSplitRefused, match="of the 60 calibration images are also test images"):
        quantize(fp32_bundle, calibration, tmp_path / "x", data=ImageFolder(copied_test(test, tmp_path / "test")))


def copied_test(test: Split, place: Path) -> Path:
    for index, target in enumerate(test.known_targets()[:60]):
        for split in ("train", "test"):
            folder = place / split / str(target)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(test.images[index])).save(folder / f"{index}.png")
    return place


@pytest.mark.slow
def test_strict_keeps_the_existing_bundle(fp32_bundle: Bundle, tmp_path: Path):
    config = open_calibration(str(CALIBRATION / "digits.json"))
    good = quantize(fp32_bundle, config, tmp_path / "b", options=QuantizationOptions(rounding="nearest")).bundle
    doubtful = open_calibration(str(black_and_white(tmp_path / "empty")))
    with pytest.raises(UsageError, match="blank"):
        quantize(fp32_bundle, doubtful, tmp_path / "b", data=open_source("digits"), force=True, strict=True)
    assert open_bundle(tmp_path / "b").digest == good.digest


@pytest.mark.parametrize(("count", "seed"), [(0, None), (None, -1), (None, 2**63)])
def test_rejects_an_invalid_count_or_seed(count: int | None, seed: int | None):
    with pytest.raises(UsageError, match="calibration options are not valid"):
        open_calibration("digits", count=count, seed=seed)
