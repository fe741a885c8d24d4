"""Splits and class folders: their names, what is left out, and hints for other layouts."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.formats import FORMATS, can_read, listed
from edgecnn.errors import SourceError, SourceWarning
from edgecnn.pipeline.data.folder import ImageFolder


def images(folder: Path, count: int = 2, suffix: str = ".png") -> Path:
    """Write noise images."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.random.default_rng((index, len(str(folder)))).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}{suffix}")
    return folder


def pets(root: Path, *splits: str) -> Path:
    for split in splits:
        for label in ("cat", "dog"):
            images(root / split / label)
    return root


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "test"), {"train": "train", "test": "test"}),
        (("Training", "Testing"), {"train": "Training", "test": "Testing"}),
        (("Train", "Val", "Test"), {"train": "Train", "validation": "Val", "test": "Test"}),
        (("TRAIN", "VALID"), {"train": "TRAIN", "test": "VALID"}),
        (("train", "validation"), {"train": "train", "test": "validation"}),
        (("training", "valid", "testing"), {"train": "training", "validation": "valid", "test": "testing"}),
    ],
)
def test_finds_splits_by_name(folders: tuple[str, ...], expected: dict[str, str], tmp_path: Path):
    source = ImageFolder(pets(tmp_path, *folders))
    assert source.folders == expected
    assert source.labels == ("cat", "dog")
    validation = source.validation()
    assert (validation is not None) == ("validation" in expected)
    assert len(source.split("train")) == len(source.split("test")) == 4


@pytest.mark.parametrize("name", ["train", "Testing", "val"])
def test_a_class_may_have_a_split_name(name: str, tmp_path: Path):
    for label in ("bus", name, "car"):
        images(tmp_path / label, 8)
    source = ImageFolder(tmp_path)
    assert source.labels == tuple(sorted(("bus", name, "car")))
    divided = tmp_path / "divided"
    for label in ("bus", name):
        images(divided / "train" / label)
        images(divided / "test" / label)
    assert ImageFolder(divided).labels == tuple(sorted(("bus", name)))


@pytest.mark.parametrize(
    ("folders", "hint"),
    [
        (("a/train/cat", "a/train/dog", "a/test/cat"), "pass .*/a"),
        (("a/train/cat", "b/train/cat"), "pass .*/a"),
        (("PetImages/Cat", "PetImages/Dog"), "has one class folder, and .*/PetImages has the subfolders Cat/, Dog/"),
        (("train/cat", "Train/dog"), "keep one folder for the train split"),
        (("train/cat", "test/cat", "val/cat", "valid/cat"), "keep one folder for the validation split"),
        (("train", "test"), "train has no class folders|test has no class folders"),
        (("test/cat", "test/dog"), "has test/ but no train/ with class folders"),
    ],
)
def test_hints_at_another_layout(folders: tuple[str, ...], hint: str, tmp_path: Path):
    for folder in folders:
        images(tmp_path / folder)
    with pytest.raises(SourceError, match=hint):
        ImageFolder(tmp_path)


def test_uses_val_if_test_has_no_classes(tmp_path: Path):
    pets(tmp_path, "train", "val")
    images(tmp_path / "test", 3)
    images(tmp_path / "extra" / "more", 1)
    with pytest.warns(SourceWarning) as caught:
        source = ImageFolder(tmp_path)
    texts = [str(each.message) for each in caught]
    assert any(text.endswith("test/ has no class folders") and "3 files are left out" in text for text in texts)
    assert any(text.endswith("extra/ is not a split") and "1 file is left out" in text for text in texts)
    assert source.folders == {"train": "train", "test": "val"}
    with pytest.raises(SourceError, match="left out"):
        ImageFolder(tmp_path, strict=True)


def test_reads_images_whatever_their_suffix(tmp_path: Path):
    root = pets(tmp_path, "train", "test")
    images(root / "train" / "dog", 3, ".webp")
    images(root / "train" / "dog", 3, ".gif")
    images(root / "train" / "dog", 3, ".tiff")
    (root / "train" / "dog" / "0.jfif").write_bytes((images(tmp_path / ".x", 1, ".jpg") / "0.jpg").read_bytes())
    (root / "train" / "dog" / "nosuffix").write_bytes((root / "train" / "dog" / "1.png").read_bytes())
    (root / "train" / "dog" / "wrong.jpg").write_bytes((root / "train" / "dog" / "1.png").read_bytes())
    assert len(ImageFolder(root, strict=True).split("train")) == 4 + 9 + 3


def test_counts_files_that_are_left_out(tmp_path: Path):
    root = pets(tmp_path, "train", "test")
    for name in ("notes.txt", "empty.png", "video.mp4", "z.svg"):
        (root / "train" / "cat" / name).write_bytes(b"" if name == "empty.png" else b"not an image")
    images(root / "train", 2)
    (root / "README.md").write_text("pets")
    (root / "train" / "labels.csv").write_text("a,b")
    with pytest.warns(SourceWarning) as caught:
        split = ImageFolder(root).split("train")
    assert len(split) == 4
    readable = listed([name for name in FORMATS if can_read(name)])
    texts = sorted(str(each.message).removeprefix(f"{root}: ") for each in caught)
    assert texts == [
        "2 files are left out (train/0.png, train/1.png): they are in no class folder",
        f"4 files are left out: train/cat/empty.png is not a {readable} image (and 3 more)",
    ]
    with pytest.raises(SourceError, match="4 files are left out"):
        ImageFolder(root, strict=True).split("train")


def test_passes_over_hidden_files(tmp_path: Path):
    root = pets(tmp_path, "train", "test")
    images(root / "train" / "cat" / ".ipynb_checkpoints", 3)
    (root / "train" / "cat" / "._0.png").write_bytes(b"\0\5\x16\7" + bytes(60))
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    images(root / "train" / "__MACOSX" / "cat")
    (root / "train" / "cat" / "loop").symlink_to(root / "train" / "cat")
    source = ImageFolder(root, strict=True)
    assert source.labels == ("cat", "dog")
    assert len(source.split("train")) == 4


def test_normalizes_class_names(tmp_path: Path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    images(tmp_path / "train" / composed)
    images(tmp_path / "train" / decomposed, 3)
    images(tmp_path / "train" / "dog")
    images(tmp_path / "test" / decomposed)
    source = ImageFolder(tmp_path)
    assert source.labels == (composed, "dog")
    assert list(source.split("train").targets) == [0] * 5 + [1] * 2
    assert list(source.split("test").targets) == [0] * 2


def test_rejects_a_class_name_outside_utf8(tmp_path: Path):
    pets(tmp_path, "train", "test")
    (tmp_path / "train" / "cat").rename(os.fsdecode(os.fsencode(tmp_path / "train") + b"/caf\xe9"))
    with pytest.raises(SourceError, match=r"b'caf\\xe9' in .* has a name that is not UTF-8: rename it"):
        ImageFolder(tmp_path)


def test_escapes_file_names_outside_utf8(tmp_path: Path):
    pets(tmp_path, "train", "test")
    (tmp_path / "train" / "cat" / "0.png").rename(os.fsdecode(os.fsencode(tmp_path / "train" / "cat") + b"/\xe9.png"))
    split = ImageFolder(tmp_path).split("train")
    assert [split.name_of(index) for index in range(2)] == ["train/cat/1.png", r"train/cat/\xe9.png"]
