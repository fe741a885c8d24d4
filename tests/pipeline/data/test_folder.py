"""Image folders with and without a split, and errors for invalid folders."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.images import FileImages
from edgecnn.pipeline.data.source import Split

AS_THEY_ARE = Preprocessing("RGB", None, None, (0.0,) * 3, (1.0,) * 3)


def add(folder: Path, count: int, *, seed: int = 0, mode: str = "RGB", suffix: str = ".png") -> Path:
    """Add noise images to a class folder."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{seed}-{number}{suffix}")
    return folder


def undivided(root: Path, count: int = 30) -> Path:
    add(root / "cat", count, seed=1)
    add(root / "dog", count, seed=2)
    return root


def divided(root: Path, *parts: str) -> Path:
    for seed, part in enumerate(parts):
        add(root / part / "cat", 3, seed=10 + seed)
        add(root / part / "dog", 2, seed=20 + seed)
    return root


def names(split: Split) -> list[str]:
    """Return the files of a split, in order: class folder and name."""
    paths = [split.images[i] for i in range(len(split))]
    return [f"{path.parent.name}/{path.name}" for path in paths if isinstance(path, Path)]


def read(root: Path, split: str | None) -> None:
    """Open a folder and, if a split is given, read its images."""
    source = ImageFolder(root)
    if split is not None:
        source.split(split).all_pixels(AS_THEY_ARE)


def refused(root: Path, split: str | None = None) -> str:
    """Return the error message for a folder and check that it is one line."""
    with pytest.raises(SourceError) as raised:
        read(root, split)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_splits_a_folder_by_image_content(tmp_path: Path):
    source = ImageFolder(undivided(tmp_path))
    train, test = source.split("train"), source.split("test")
    assert source.labels == ("cat", "dog")
    assert len(train) + len(test) == 60
    assert not set(names(train)) & set(names(test))
    sides = [{split.images.digest(i) for i in range(len(split))} for split in (train, test)]
    assert not sides[0] & sides[1]
    assert [source.labels[target] for target in train.targets] == [name.split("/")[0] for name in names(train)]


def test_splits_do_not_depend_on_the_path(tmp_path: Path):
    first = ImageFolder(undivided(tmp_path / "a" / "pets"))
    second = ImageFolder(Path(shutil.copytree(tmp_path / "a" / "pets", tmp_path / "b" / "pets")))
    for name in ("train", "test"):
        assert first.split(name).digest == first.split(name).digest == second.split(name).digest
        assert first.split(name).reference() == second.split(name).reference()
        assert names(first.split(name)) == sorted(names(first.split(name)))


def test_uses_the_folder_name_without_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    undivided(tmp_path / "pets")
    monkeypatch.chdir(tmp_path / "pets")
    assert ImageFolder(Path()).name == ImageFolder(tmp_path / "pets").name == "pets"
    assert ImageFolder(Path()).split("train").source == "pets"


def test_added_images_keep_existing_splits(tmp_path: Path):
    root = undivided(tmp_path)
    before = {name: names(ImageFolder(root).split(name)) for name in ("train", "test")}
    add(root / "cat", 25, seed=3)
    add(root / "ant", 25, seed=4)  # a new class, first in order
    for name, old in before.items():
        now = names(ImageFolder(root).split(name))
        assert set(old) < set(now)
    assert ImageFolder(root).labels == ("ant", "cat", "dog")


def test_copies_share_a_split(tmp_path: Path):
    root = undivided(tmp_path)
    for path in list(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy-of-{path.name}"))
    source = ImageFolder(root)
    sides = [{split.images.digest(i) for i in range(len(split))} for split in map(source.split, ("train", "test"))]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("other", ["test", "val"])
def test_uses_test_or_val_as_test_split(other: str, tmp_path: Path):
    source = ImageFolder(divided(tmp_path, "train", other))
    train, test = source.split("train"), source.split("test")
    assert (len(train), len(test)) == (5, 5)
    assert list(test.targets) == [0, 0, 0, 1, 1]
    assert test.targets.dtype == np.int64
    paths = [test.images[i] for i in range(5)]
    assert all(isinstance(path, Path) and path.is_relative_to(tmp_path / other) for path in paths)
    assert (train.name, test.name) == ("train", "test")


def test_prefers_test_over_val(tmp_path: Path):
    source = ImageFolder(divided(tmp_path, "train", "val", "test"))
    assert names(source.split("test"))[0].startswith("cat/12-")


def test_rejects_a_missing_test_folder(tmp_path: Path):
    source = ImageFolder(divided(tmp_path, "train"))
    assert len(source.split("train")) == 5
    message = refused(tmp_path, "test")
    assert message == f"{tmp_path} has train/, but no test images: add test/ or val/ with class folders"


def test_rejects_an_unknown_split(tmp_path: Path):
    assert "train and test, found 'val'" in refused(divided(tmp_path, "train", "val"), "val")


def test_reads_pixels_from_files(tmp_path: Path):
    split = ImageFolder(divided(tmp_path, "train")).split("train")
    with Image.open(tmp_path / "train" / "dog" / "20-1.png") as last:
        assert np.array_equal(split.all_pixels(AS_THEY_ARE)[-1], last)
    assert isinstance(split.images, FileImages)


def test_reads_subfolders_and_all_formats(tmp_path: Path):
    root = divided(tmp_path, "train")
    for suffix in (".jpg", ".JPEG", ".bmp", ".PNG"):
        add(root / "train" / "cat" / "deeper", 1, seed=30, suffix=suffix)
    (root / "train" / "cat" / "deeper" / "folder.png").mkdir()
    assert list(ImageFolder(root).split("train").targets) == [0] * 7 + [1] * 2


def test_ignores_hidden_folders_and_other_files(tmp_path: Path):
    root = undivided(tmp_path)
    add(root / ".cache", 1)
    (root / "README.md").write_text("pets")
    assert ImageFolder(root).labels == ("cat", "dog")


@pytest.mark.parametrize(("mode", "expected"), [("L", "L"), ("RGB", "RGB"), ("1", "L")])
@pytest.mark.parametrize("part", [".", "train"])
def test_detects_the_colour_mode(mode: str, expected: str, part: str, tmp_path: Path):
    add(tmp_path / part / "cat", 2, mode=mode)
    assert ImageFolder(tmp_path).mode == expected


def test_detects_grey_stored_as_colour(tmp_path: Path):
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)).convert("RGB").save(
        tmp_path / "cat" / "a.png"
    )
    assert ImageFolder(tmp_path).mode == "L"


@pytest.mark.parametrize("part", [".", "train"])
def test_rejects_an_empty_folder(part: str, tmp_path: Path):
    (tmp_path / part).mkdir(exist_ok=True)
    assert refused(tmp_path).startswith(f"{tmp_path / part} has no class folders")


def test_rejects_images_without_class_folders(tmp_path: Path):
    add(tmp_path, 3)
    assert "one subfolder per class" in refused(tmp_path)


def test_rejects_a_path_that_is_not_a_folder(tmp_path: Path):
    assert refused(tmp_path / "missing").startswith(f"{tmp_path / 'missing'} is not a folder")
    (tmp_path / "file").write_text("x")
    assert refused(tmp_path / "file").startswith(f"{tmp_path / 'file'} is not a folder")


def test_rejects_class_folders_without_images(tmp_path: Path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    assert refused(tmp_path, "train").startswith(f"{tmp_path} has no images")


@pytest.mark.parametrize("part", [".", "train"])
@pytest.mark.parametrize("empty", ["ant", "cow", "zebu"])
def test_names_a_class_folder_without_images(empty: str, part: str, tmp_path: Path):
    undivided(tmp_path / part)
    (tmp_path / part / empty).mkdir()
    assert refused(tmp_path, "train").startswith(f"{tmp_path / part / empty} has no images")


@pytest.mark.parametrize("place", ["cat/0.png", "cat/z.png", "dog/z.png"])
def test_names_a_broken_file(place: str, tmp_path: Path):
    root = divided(tmp_path, "train")
    whole = (root / "train" / "cat" / "10-0.png").read_bytes()
    (root / "train" / place).write_bytes(whole[: len(whole) // 2])
    assert str(root / "train" / place) in refused(root, "train")


@pytest.mark.parametrize("change", ["one more", "renamed"])
def test_rejects_unknown_test_classes(change: str, tmp_path: Path):
    root = divided(tmp_path, "train", "test")
    if change == "one more":
        add(root / "test" / "wolf", 1)
    else:
        (root / "test" / "dog").rename(root / "test" / "wolf")
    message = refused(root, "test")
    assert message.startswith(f"{root / 'test'} has the classes wolf, which")
    assert message.endswith("expected cat, dog")


def test_accepts_fewer_test_classes(tmp_path: Path):
    root = divided(tmp_path, "train", "test")
    shutil.rmtree(root / "test" / "cat")
    assert list(ImageFolder(root).split("test").targets) == [1, 1]


def test_rejects_a_folder_with_one_image(tmp_path: Path):
    add(tmp_path / "cat", 1)
    sizes, messages = [], []
    for name in ("train", "test"):
        try:
            sizes.append(len(ImageFolder(tmp_path).split(name)))
        except SourceError as error:
            messages.append(str(error))
    assert sizes == [1]
    assert len(messages) == 1
    assert messages[0].startswith(f"{tmp_path} has 1 images, too few for a ")
    assert messages[0].endswith("divide it into train/ and test/")


@pytest.mark.parametrize("part", ["test", "val"])
def test_rejects_a_folder_without_train(tmp_path: Path, part: str):
    with pytest.raises(SourceError, match="no train/ with class folders"):
        ImageFolder(divided(tmp_path, part))


def test_names_images_by_relative_path(tmp_path: Path):
    add(divided(tmp_path / "deep", "train", "test") / "test" / "cat" / "tabby" / "young", 1, seed=99)
    assert ImageFolder(tmp_path / "deep").split("test").name_of(3) == "test/cat/tabby/young/99-0.png"
    chosen = ImageFolder(undivided(tmp_path / "flat")).split("test")
    assert chosen.name_of(0) == names(chosen)[0]
