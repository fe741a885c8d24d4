"""Training: the accuracy that users expect, repeatable, and refused where it cannot go on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgecnn.errors import EdgecnnError, OutputExists, SourceError, TrainingError
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.source import ArrayImages, Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.training.augmentation import augment
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import TrainingOptions

SHORT = TrainingOptions(epochs=1)


class Tiny:
    """Sixty-four small images in two classes: bright and dark."""

    name, labels, mode = "tiny", ("dark", "bright"), "L"

    def split(self, name: str) -> Split:
        rng = np.random.default_rng(0 if name == "train" else 1)
        targets = np.arange(64) % 2
        pixels = (rng.integers(0, 100, (64, 16, 16)) + 150 * targets[:, None, None]).astype(np.uint8)
        return Split(self.name, name, ArrayImages(pixels), targets.astype(np.int64))


def test_lenet_reads_98_percent_of_the_held_out_digits(checkpoint_path: Path):
    record = read_checkpoint(checkpoint_path).record
    assert record.test_top1 >= 0.98
    assert record.test.images == 385
    assert len(record.history) == TrainingOptions().epochs
    assert record.history[-1].loss < record.history[0].loss


def test_a_checkpoint_says_how_it_was_made(checkpoint_path: Path):
    record = read_checkpoint(checkpoint_path).record
    assert record.options == TrainingOptions()
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


def test_progress_tells_loss_and_accuracy_of_every_epoch(tmp_path: Path):
    seen: list[tuple[str, int, int, str]] = []

    def progress(stage: str, done: int, total: int, note: str = "", /) -> None:
        seen.append((stage, done, total, note))

    train("lenet", Tiny(), tmp_path / "x", source_name="tiny", options=TrainingOptions(epochs=2), progress=progress)
    epochs = [entry for entry in seen if entry[0] == "training"]
    assert [entry[1:3] for entry in epochs] == [(1, 2), (2, 2)]
    assert "loss" in epochs[0][3]
    assert "accuracy" in epochs[0][3]


def test_a_loss_that_is_no_number_stops_with_a_reason_and_writes_nothing(tmp_path: Path):
    with pytest.raises(TrainingError, match="learning-rate"):
        train("lenet", Tiny(), tmp_path / "x", source_name="t", options=TrainingOptions(epochs=9, learning_rate=1e30))
    assert not (tmp_path / "x").exists()


def test_an_existing_output_is_refused_before_any_image_is_read(tmp_path: Path):
    (tmp_path / "x").mkdir()

    class Unread(Tiny):
        def split(self, name: str) -> Split:
            raise AssertionError("read")

    with pytest.raises(OutputExists):
        train("lenet", Unread(), tmp_path / "x", source_name="t", options=SHORT)


def test_images_of_one_colour_are_refused(tmp_path: Path):
    class Grey(Tiny):
        def split(self, name: str) -> Split:
            return Split("grey", name, ArrayImages(np.full((8, 4, 4), 7, np.uint8)), np.zeros(8, np.int64))

    with pytest.raises(SourceError, match="one and the same"):
        train("lenet", Grey(), tmp_path / "x", source_name="grey", options=SHORT)


def test_augmentation_moves_each_image_by_its_own_little():
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 12:20, 12:20] = 1
    moved = augment(image.repeat(16, 1, 1, 1), TrainingOptions(), generator)
    assert moved.shape == (16, 1, 32, 32)
    assert len({tuple(m.flatten().tolist()) for m in moved}) == 16
    assert abs(moved.sum(dim=(1, 2, 3)) / 64 - 1).max() < 0.35


def test_no_augmentation_changes_nothing():
    still = TrainingOptions(shift=0, rotation=0, zoom=0)
    images = torch.rand(4, 3, 9, 7)
    torch.testing.assert_close(augment(images, still, torch.Generator()), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("option", [{"epochs": 0}, {"batch_size": -1}, {"learning_rate": 0.0}, {"label_smoothing": 1}])
def test_options_that_make_no_sense_are_refused(option: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(option))):
        TrainingOptions(**option)  # type: ignore[arg-type]


def test_a_broken_test_image_is_found_before_the_training(tmp_path: Path):
    for split in ("train", "test"):
        for label in ("a", "b"):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for index in range(4):
                pixels = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    (tmp_path / "data" / "test" / "b" / "0.png").write_bytes(b"broken")
    stages: list[str] = []

    def progress(stage: str, done: int, total: int, note: str = "", /) -> None:
        stages.append(stage)

    options = TrainingOptions(epochs=1)
    source = ImageFolder(tmp_path / "data")
    with pytest.raises(EdgecnnError, match=r"b/0\.png"):
        train("lenet", source, tmp_path / "ck", source_name="data", options=options, progress=progress)
    assert "training" not in stages
    assert not (tmp_path / "ck").exists()
