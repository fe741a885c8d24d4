"""MNIST and Fashion-MNIST: the real files where they are, and what is said where they are missing or damaged."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from edgecnn.errors import SourceError
from edgecnn.pipeline.data import public_sets
from edgecnn.pipeline.data.mnist import FashionMnist, Mnist, read_idx
from edgecnn.pipeline.data.sources import open_source

INSTALLED = Path("/usr/share/datasets/fashion-mnist")
needs_the_files = pytest.mark.skipif(not INSTALLED.is_dir(), reason="dataset-fashion-mnist is not installed")


def idx(shape: tuple[int, ...], content: bytes) -> bytes:
    return struct.pack(">HBB", 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + content


def write(folder: Path, name: str, images: np.ndarray, targets: np.ndarray) -> Path:
    """Write one split as the data set's files are."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in ((f"{name}-images-idx3-ubyte.gz", images), (f"{name}-labels-idx1-ubyte.gz", targets)):
        (folder / kind).write_bytes(gzip.compress(idx(array.shape, array.tobytes()), compresslevel=1))
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six and three images in the place that EDGECNN_DATA names."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8)
    targets = np.arange(9, dtype=np.uint8)
    monkeypatch.setenv("EDGECNN_DATA", str(tmp_path))
    folder = write(tmp_path / "fashion-mnist", "train", pixels[:6], targets[:6])
    return write(folder, "t10k", pixels[6:], targets[6:])


def unreachable(dataset: str, folder: str, marker: str) -> Path:
    raise OSError("no route to host")


@needs_the_files
@pytest.mark.parametrize(
    ("name", "count", "digest"),
    [
        ("train", 60_000, "463d2d73cbcce0e10e0a260dd2723399604a28f7b476873bdd2ceaab82cc0a05"),
        ("test", 10_000, "6b1c31edb00a1d57da53650ab5577bc57e9486af171ed950420498ab1ee1237b"),
    ],
)
def test_the_real_files_hold_what_the_paper_says(name: str, count: int, digest: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FashionMnist, "places", lambda _: (INSTALLED,))
    split = FashionMnist().split(name)
    assert len(split) == len(split.images) == count
    assert np.asarray(split.images[0]).shape == (28, 28)
    assert np.array_equal(np.bincount(split.targets), [count // 10] * 10)
    assert split.targets.dtype == np.int64
    assert split.digest == digest


@needs_the_files
def test_train_and_test_share_no_image(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FashionMnist, "places", lambda _: (INSTALLED,))
    train, test = (FashionMnist().split(name).images for name in ("train", "test"))
    assert not {train.digest(i) for i in range(60_000)} & {test.digest(i) for i in range(10_000)}


def test_the_folder_that_edgecnn_data_names_comes_first(small: Path):
    assert FashionMnist().places()[0] == small
    assert len(FashionMnist().split("train")) == 6
    assert list(FashionMnist().split("test").targets) == [6, 7, 8]
    assert np.asarray(FashionMnist().split("test").images[0]).shape == (28, 28)


def test_the_cache_is_looked_into_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EDGECNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "edgecnn" / "data" / "fashion-mnist"
    assert FashionMnist().places()[0] == folder
    write(folder, "train", np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    assert len(FashionMnist().split("train")) == 2


def test_without_the_variables_the_home_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("EDGECNN_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FashionMnist().places()[0] == tmp_path / ".cache" / "edgecnn" / "data" / "fashion-mnist"
    assert INSTALLED in FashionMnist().places()


def test_what_torchvision_has_downloaded_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EDGECNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/FashionMNIST/raw", "train", np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    assert len(FashionMnist().split("train")) == 2


def test_missing_files_are_one_line_that_says_where_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDGECNN_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    elsewhere = [place for place in FashionMnist().places() if tmp_path in place.parents]
    assert len(elsewhere) == 3
    monkeypatch.setattr(FashionMnist, "places", lambda _: tuple(elsewhere))
    monkeypatch.setattr(public_sets, "download", unreachable)
    with pytest.raises(SourceError) as raised:
        FashionMnist().split("train")
    message = str(raised.value)
    assert "\n" not in message
    assert str(tmp_path / "named" / "fashion-mnist") in message
    assert str(tmp_path / "cache" / "edgecnn" / "data" / "fashion-mnist") in message
    assert "apt install dataset-fashion-mnist" in message
    assert "torchvision.datasets.FashionMNIST" in message
    assert "EDGECNN_DATA" in message
    assert "no route to host" in message


def test_another_split_is_refused():
    with pytest.raises(SourceError, match="train and test, not 'val'"):
        FashionMnist().split("val")


IMAGES = "train-images-idx3-ubyte.gz"
WHOLE = gzip.compress(idx((2, 3, 4), bytes(24)))
DAMAGES: dict[str, bytes] = {
    "no gzip": b"<html>404</html>",
    "empty": b"",
    "cut": WHOLE[:-12],
    "cut in its header": WHOLE[:5],
    "a changed byte": WHOLE[:-6] + bytes([WHOLE[-6] ^ 1]) + WHOLE[-5:],
    "nothing inside": gzip.compress(b""),
    "text inside": gzip.compress(b"<html>404</html>"),
    "another type of element": gzip.compress(b"\0\0\x0d\x01" + struct.pack(">I", 4) + bytes(4)),
    "a header without sizes": gzip.compress(b"\0\0\x08\x03\0\0"),
    "too few pixels": gzip.compress(idx((2, 3, 4), bytes(23))),
    "too many pixels": gzip.compress(idx((2, 3, 4), bytes(25))),
    "sizes whose product overflows": gzip.compress(idx((2**31, 2**31, 4), b"")),
    "more dimensions than there can be": gzip.compress(idx((1,) * 255, b"x")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line_that_names_it(damage: str, small: Path):
    path = small / IMAGES
    path.write_bytes(DAMAGES[damage])
    with pytest.raises(SourceError) as raised:
        FashionMnist().split("train")
    message = str(raised.value)
    assert str(path) in message
    assert "install it again" in message
    assert "\n" not in message


@pytest.mark.parametrize("count", [5, 7])
def test_targets_that_do_not_fit_the_images_are_refused(count: int, small: Path):
    shutil.copy(small / "t10k-images-idx3-ubyte.gz", small / IMAGES)
    targets = gzip.compress(idx((count,), bytes(count)))
    (small / "train-labels-idx1-ubyte.gz").write_bytes(targets)
    with pytest.raises(SourceError, match="do not fit") as raised:
        FashionMnist().split("train")
    assert str(small) in str(raised.value)


def test_images_that_are_targets_are_refused(small: Path):
    shutil.copy(small / "train-labels-idx1-ubyte.gz", small / IMAGES)
    with pytest.raises(SourceError, match="do not fit"):
        FashionMnist().split("train")


def test_a_missing_file_of_targets_is_named(small: Path):
    (small / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(SourceError, match=r"train-labels-idx1-ubyte\.gz.*install it again"):
        FashionMnist().split("train")


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 28, 28), (2, 1, 2, 3)])
def test_an_idx_file_of_bytes_is_read_with_its_shape(shape: tuple[int, ...], tmp_path: Path):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(shape, values.tobytes())))
    read = read_idx(tmp_path / "x.gz")
    assert read.dtype == np.uint8
    assert read.shape == shape
    assert np.array_equal(read, values)


def test_mnist_has_the_same_files_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDGECNN_DATA", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    write(tmp_path / "mnist", "train", pixels, np.arange(10, dtype=np.uint8))
    train = open_source("mnist").split("train")
    assert (train.source, len(train)) == ("mnist", 10)
    assert np.array_equal(np.asarray(train.images[3]), pixels[3])
    assert Mnist.labels[9] == "9"


def test_a_class_that_there_is_not_is_refused(small: Path):
    write(small, "train", np.zeros((1, 28, 28), np.uint8), np.array([10], np.uint8))
    with pytest.raises(SourceError, match="no class 10"):
        FashionMnist().split("train")
