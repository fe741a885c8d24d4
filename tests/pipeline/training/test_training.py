"""Training: accuracy, reproducibility and errors."""

import dataclasses
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgecnn.errors import OutputExists, SourceError, SourceWarning, TrainingError
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.held_out import unreserved
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.models.registry import get_architecture
from edgecnn.pipeline.training.checkpoint import Epoch, read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import TrainingOptions, recipe
from edgecnn.pipeline.training.run import better
from edgecnn.pipeline.training.sizing import fit_to_images

SHORT = TrainingOptions(epochs=1, image_size=32)


class Tiny:
    """Sixty-four small images in two classes: bright and dark."""

    name, labels, mode = "tiny", ("dark", "bright"), "L"

    def split(self, name: str) -> Split:
        rng = np.random.default_rng(0 if name == "train" else 1)
        targets = np.arange(64) % 2
        pixels = (rng.integers(0, 100, (64, 16, 16)) + 150 * targets[:, None, None]).astype(np.uint8)
        return Split(self.name, name, ArrayImages(pixels), targets.astype(np.int64))


def test_lenet_reaches_98_percent_on_digits(checkpoint_path: Path):
    record = read_checkpoint(checkpoint_path).record
    assert record.test_top1 is not None
    assert record.test_top1 >= 0.98
    assert record.test.images == 385
    assert len(record.history) == recipe("lenet", "digits").epochs
    assert record.history[-1].loss < record.history[0].loss


def test_checkpoint_records_the_training(checkpoint_path: Path):
    record = read_checkpoint(checkpoint_path).record
    assert record.options == dataclasses.replace(recipe("lenet", "digits"), stem="standard")
    assert record.compute is not None
    assert (record.compute.device, record.compute.processes) == ("cpu", 1)
    assert record.beginning is None
    assert record.labels == tuple("0123456789")
    assert record.training.digest == open_source("digits").split("train").digest
    assert {"torch", "numpy", "python"} <= set(record.versions)
    assert {child.name for child in checkpoint_path.iterdir()} == {"checkpoint.json", "model.safetensors"}


def test_the_same_seed_gives_the_same_weights(tmp_path: Path):
    for name in ("a", "b"):
        train("lenet", Tiny(), tmp_path / name, source_name="tiny", options=SHORT)
    first, second = (read_checkpoint(tmp_path / name).state for name in ("a", "b"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    train("lenet", Tiny(), tmp_path / "c", source_name="tiny", options=TrainingOptions(epochs=1, seed=1))
    assert not torch.equal(read_checkpoint(tmp_path / "c").state["fc3.weight"], first["fc3.weight"])


def test_progress_reports_loss_and_throughput(tmp_path: Path):
    seen: list[tuple[str, int, int, str]] = []

    def progress(stage: str, done: int, total: int, note: str = "", /) -> None:
        seen.append((stage, done, total, note))

    options = TrainingOptions(epochs=2, validation=0)
    train("lenet", Tiny(), tmp_path / "x", source_name="tiny", options=options, progress=progress)
    steps = [entry for entry in seen if entry[0] == "training"]
    assert steps[-1][1:3] == (2, 2)  # one batch per epoch
    assert "loss" in steps[0][3]
    assert "images/s" in steps[0][3]
    assert {entry[0] for entry in seen} == {"reading training", "reading test", "training"}


def test_reports_every_epoch(tmp_path: Path):
    seen: list[tuple[int, Epoch]] = []
    train(
        "lenet",
        Tiny(),
        tmp_path / "x",
        source_name="tiny",
        options=TrainingOptions(epochs=3, validation=0.3),
        on_epoch=lambda number, epoch: seen.append((number, epoch)),
    )
    record = read_checkpoint(tmp_path / "x").record
    assert [number for number, _ in seen] == [1, 2, 3]
    assert tuple(epoch for _, epoch in seen) == record.history
    best = record.history[record.best_epoch - 1]
    assert best.validation_top1 == max(epoch.validation_top1 or 0 for epoch in record.history)
    assert record.validation is not None
    assert 5 < record.validation.images < 40


def test_keeps_the_weights_of_the_best_epoch(tmp_path: Path):
    first = Epoch(1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 0.0)
    assert better(dataclasses.replace(first, validation_top1=0.6), first)
    assert not better(dataclasses.replace(first, validation_top1=0.4, validation_loss=0.1), first)
    assert better(dataclasses.replace(first, validation_loss=0.9), first)
    assert not better(first, first)
    assert better(
        dataclasses.replace(first, validation_top1=None), first
    )  # without validation, the last epoch is the best


def test_validation_is_part_of_training():
    split = open_source("digits").split("train")
    kept, cut = split.parted(0.1)
    assert len(kept) + len(cut) == len(split)
    assert 0.07 < len(cut) / len(split) < 0.13
    first, second = ({part.images.digest(i) for i in range(len(part))} for part in (kept, cut))
    assert not first & second
    assert kept.name == cut.name == "train"


def test_training_leaves_reserved_images_out(tmp_path: Path):
    notes: list[str] = []
    options = dataclasses.replace(SHORT, reserve=0.5)
    train("lenet", Tiny(), tmp_path / "ck", source_name="tiny", options=options, on_note=notes.append)
    checkpoint, left = read_checkpoint(tmp_path / "ck"), unreserved(Tiny().split("train"), 0.5)
    assert checkpoint.record.training == left.reference()
    assert checkpoint.reference.reserved == 0.5
    assert any(note.endswith(f"{64 - len(left)} reserved") for note in notes)


def test_stops_if_the_loss_diverges(tmp_path: Path):
    with pytest.raises(TrainingError, match="learning-rate"):
        train("lenet", Tiny(), tmp_path / "x", source_name="t", options=TrainingOptions(epochs=9, learning_rate=1e30))
    assert list(tmp_path.iterdir()) == []


def test_rejects_an_existing_output_early(tmp_path: Path):
    (tmp_path / "x").mkdir()

    class Unread(Tiny):
        def split(self, name: str) -> Split:
            raise AssertionError("read")

    with pytest.raises(OutputExists):
        train("lenet", Unread(), tmp_path / "x", source_name="t", options=SHORT)


def folder_of(root: Path, count: int = 4, side: int = 32) -> Path:
    """Write grey images of two classes and return their folder."""
    for split in ("train", "test"):
        for number, label in enumerate(("a", "b")):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.random.default_rng((index, number)).integers(0, 256, (side, side), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def test_detects_broken_images_before_training(tmp_path: Path):
    root = folder_of(tmp_path / "data")
    for name in ("0.png", "1.png"):
        (root / "test" / "b" / name).write_bytes((root / "test" / "b" / name).read_bytes()[:80])
    stages: list[str] = []

    def progress(stage: str, done: int, total: int, note: str = "", /) -> None:
        stages.append(stage)

    with pytest.raises(SourceError, match=r"2 of 8 images of data cannot be decoded \(test/b/0\.png: .*--max-bad"):
        train("lenet", ImageFolder(root), tmp_path / "ck", source_name="data", options=SHORT, progress=progress)
    assert "training" not in stages
    assert not (tmp_path / "ck").exists()


def test_skips_and_names_a_broken_image(tmp_path: Path):
    root = folder_of(tmp_path / "data")
    for split in ("train", "test"):
        broken = root / split / "a" / "3.png"
        broken.write_bytes(broken.read_bytes()[:80])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = train("lenet", ImageFolder(root), tmp_path / "ck", source_name="data", options=SHORT)
    texts = [str(each.message) for each in caught if issubclass(each.category, SourceWarning)]
    assert len(texts) == 2
    for text, split in zip(texts, ("train", "test"), strict=True):
        assert "images of data cannot be decoded and are skipped" in text
        assert f"{split}/a/3.png" in text
    assert trained.test_images == 7
    with pytest.raises(SourceError, match="cannot be decoded"):
        train("lenet", ImageFolder(root, strict=True), tmp_path / "x", source_name="data", options=SHORT)
    with pytest.raises(SourceError, match="at most 0%"):
        train("lenet", ImageFolder(root), tmp_path / "x", source_name="data", options=SHORT, max_bad=0.0)


@pytest.mark.parametrize(
    ("architecture", "side", "chosen", "stem"),
    [
        ("resnet18", 20, 32, "small"),
        ("resnet18", 80, 80, "standard"),
        ("resnet18", 180, 224, "standard"),
        ("alexnet", 20, 63, "standard"),
        ("lenet", 16, 32, "standard"),
    ],
)
def test_fits_the_network_to_small_images(architecture: str, side: int, chosen: int, stem: str, tmp_path: Path):
    source = ImageFolder(folder_of(tmp_path / "data", 2, side))
    options, reason = fit_to_images(architecture, source, TrainingOptions(), has_weights=False)
    assert (options.image_size, options.stem) == (chosen, stem)
    if chosen < 224:
        assert reason is not None
        assert reason.startswith(f"--image-size {chosen}")
        assert f"{side} pixels" in reason
    given, nothing = fit_to_images(architecture, source, TrainingOptions(image_size=100), has_weights=False)
    assert (given.image_size, given.stem, nothing) == (100, "standard", None)
    with_weights, _ = fit_to_images(architecture, source, TrainingOptions(), has_weights=True)
    assert with_weights.image_size == get_architecture(architecture).image_size


def test_uses_val_to_choose_the_epoch(tmp_path: Path):
    root = folder_of(tmp_path / "data")
    shutil.copytree(root / "test", root / "val")
    add = np.random.default_rng(9).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(add).save(root / "val" / "a" / "more.png")
    notes: list[str] = []
    train("lenet", ImageFolder(root), tmp_path / "ck", source_name="d", options=SHORT, on_note=notes.append)
    record = read_checkpoint(tmp_path / "ck").record
    assert record.validation is not None
    assert (record.training.images, record.validation.images, record.test.images) == (8, 9, 8)
    assert "images of data: 8 to train (train/), 9 to choose the epoch (val/), 8 to test (test/)" in notes
    assert any("step" in note and " s" in note for note in notes)
