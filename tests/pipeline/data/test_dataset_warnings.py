"""Warnings about a data source before training."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.errors import SourceError, SourceWarning
from edgecnn.pipeline.data.checks import dataset_warnings
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.data.sources import open_source


def warnings_of(source: DataSource) -> list[str]:
    return dataset_warnings(source, source.split("train"), source.split("test"))


def pictures(folder: Path, count: int, *, grey: bool = False, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, len(folder.parts), sum(map(ord, str(folder)))))
    for index in range(count):
        pixels = rng.integers(0, 256, (8, 8) if grey else (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{'g' if grey else 'c'}{index}.png")


def pets(root: Path) -> Path:
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            pictures(root / split / label, 4)
    return root


def with_copies(root: Path, target: str) -> list[str]:
    """Copy four training images of cats, and return the warnings about the folder."""
    for index in range(4):
        shutil.copy(root / "train" / "cat" / f"c{index}.png", root / target / f"copy{index}.png")
    return warnings_of(ImageFolder(root))


def test_a_clean_source_has_no_warnings(tmp_path: Path):
    assert warnings_of(ImageFolder(pets(tmp_path))) == []
    assert warnings_of(open_source("digits")) == []


def test_names_images_in_both_splits(tmp_path: Path):
    (found,) = with_copies(pets(tmp_path), "test/dog")
    assert found.startswith("4 of 12 test images")
    assert "train/cat/c0.png = test/dog/copy0.png" in found
    assert "and 1 more" in found


def test_warns_of_grey_and_colour_files(tmp_path: Path):
    root = pets(tmp_path)
    pictures(root / "train" / "cat", 3, grey=True)
    with pytest.warns(SourceWarning, match=r"3 of 11 training images .* are grey, others are colour"):
        assert ImageFolder(root).mode == "RGB"
    with pytest.raises(SourceError, match="3 of 11"):
        _ = ImageFolder(root, strict=True).mode


def test_names_images_in_two_classes(tmp_path: Path):
    (found,) = with_copies(pets(tmp_path), "train/dog")
    assert found.startswith("4 training images of")
    assert "are in two classes, cat, dog (train/cat/c0.png = train/dog/copy0.png; " in found
    assert "and 1 more" in found


def test_looks_at_every_image_for_colour(tmp_path: Path):
    """One colour image among sixty that are grey, stored as colour."""
    root = pets(tmp_path)
    grey = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, axis=2)
    for label in ("cat", "dog"):
        for path in list((root / "train" / label).iterdir()):
            path.unlink()
        for index in range(30):
            Image.fromarray(grey).save(root / "train" / label / f"{index:02}.png")
    assert ImageFolder(root).mode == "L"
    pictures(root / "train" / "dog", 1)
    assert ImageFolder(root).mode == "RGB"


def test_detects_colour_after_a_grey_image(tmp_path: Path):
    """The first file is grey stored as RGB; the other files are colour."""
    root = pets(tmp_path)
    grey = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, axis=2)
    Image.fromarray(grey).save(root / "train" / "cat" / "a.png")
    assert ImageFolder(root).mode == "RGB"


def test_warns_of_a_class_without_test_images(tmp_path: Path):
    class Half:
        name, labels, mode = "half", ("a", "b"), "L"

        def split(self, name: str):
            split = open_source("digits").split(name)
            targets = split.known_targets()
            wanted = np.flatnonzero(targets <= (1 if name == "train" else 0))
            return split.subset([int(i) for i in wanted])

    assert warnings_of(Half()) == ["half has no test images of b: top-1 does not cover these classes"]
