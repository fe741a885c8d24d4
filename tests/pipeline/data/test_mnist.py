"""MNIST and Fashion-MNIST: the original files, and errors for missing or damaged files."""

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
    """Write one split in the data set's file format."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in ((f"{name}-images-idx3-ubyte.gz", images), (f"{name}-labels-idx1-ubyte.gz", targets)):
        (folder / kind).write_bytes(gzip.compress(idx(array.shape, array.tobytes()), compresslevel=1))
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with six training and three test images in EDGECNN_DATA."""
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
def test_reads_the_original_files(name: str, count: int, digest: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FashionMnist, "places", lambda _: (INSTALLED,))
    split = FashionMnist().split(name)
    assert len(split) == len(split.images) == count
    assert np.asarray(split.images[0]).shape == (28, 28)
    assert np.array_equal(np.bincount(split.targets), [count // 10] * 10)
    assert split.targets.dtype == np.int64
    assert split.digest == digest


@needs_the_files
def test_splits_share_no_image(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FashionMnist, "places", lambda _: (INSTALLED,))
    train, test = (FashionMnist().split(name).images for name in ("train", "test"))
    assert not {train.digest(i) for i in range(60_000)} & {test.digest(i) for i in range(10_000)}


def test_searches_edgecnn_data_first(small: Path):
    assert FashionMnist().places()[0] == small
    assert len(FashionMnist().split("train")) == 6
    assert list(FashionMnist().split("test").targets) == [6, 7, 8]
    assert np.asarray(FashionMnist().split("test").images[0]).shape == (28, 28)


def test_searches_xdg_cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EDGECNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "edgecnn" / "data" / "fashion-mnist"
    assert FashionMnist().places()[0] == folder
    write(folder, "train", np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    assert len(FashionMnist().split("train")) == 2


def test_searches_the_home_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("EDGECNN_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FashionMnist().places()[0] == tmp_path / ".cache" / "edgecnn" / "data" / "fashion-mnist"
    assert INSTALLED in FashionMnist().places()


def test_finds_torchvision_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EDGECNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/FashionMNIST/raw", "train", np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    assert len(FashionMnist().split("train")) == 2


def test_explains_how_to_get_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_rejects_an_unknown_split():
    with pytest.raises(SourceError, match="train and test, found 'val'"):
        FashionMnist().split("val")


IMAGES = "train-images-idx3-ubyte.gz"
WHOLE = gzip.compress(idx((2, 3, 4), bytes(24)))
DAMAGES: dict[str, bytes] = {
    "not gzip": b"<html>404</html>",
    "empty": b"",
    "truncated": WHOLE[:-12],
    "truncated header": WHOLE[:5],
    "a changed byte": WHOLE[:-6] + bytes([WHOLE[-6] ^ 1]) + WHOLE[-5:],
    "empty content": gzip.compress(b""),
    "text content": gzip.compress(b"<html>404</html>"),
    "another element type": gzip.compress(b"\0\0\x0d\x01" + struct.pack(">I", 4) + bytes(4)),
    "a header without sizes": gzip.compress(b"\0\0\x08\x03\0\0"),
    "too few pixels": gzip.compress(idx((2, 3, 4), bytes(23))),
    "too many pixels": gzip.compress(idx((2, 3, 4), bytes(25))),
    "overflowing sizes": gzip.compress(idx((2**31, 2**31, 4), b"")),
    "too many dimensions": gzip.compress(idx((1,) * 255, b"x")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_rejects_a_damaged_file(damage: str, small: Path):
    path = small / IMAGES
    path.write_bytes(DAMAGES[damage])
    with pytest.raises(SourceError) as raised:
        FashionMnist().split("train")
    message = str(raised.value)
    assert str(path) in message
    assert "install it again" in message
    assert "\n" not in message


@pytest.mark.parametrize("count", [5, 7])
def test_rejects_targets_of_another_length(count: int, small: Path):
    shutil.copy(small / "t10k-images-idx3-ubyte.gz", small / IMAGES)
    targets = gzip.compress(idx((count,), bytes(count)))
    (small / "train-labels-idx1-ubyte.gz").write_bytes(targets)
    with pytest.raises(SourceError, match="do not match") as raised:
        FashionMnist().split("train")
    assert str(small) in str(raised.value)


def test_rejects_targets_as_images(small: Path):
    shutil.copy(small / "train-labels-idx1-ubyte.gz", small / IMAGES)
    with pytest.raises(SourceError, match="do not match"):
        FashionMnist().split("train")


def test_names_a_missing_targets_file(small: Path):
    (small / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(SourceError, match=r"train-labels-idx1-ubyte\.gz.*install it again"):
        FashionMnist().split("train")


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 28, 28), (2, 1, 2, 3)])
def test_reads_an_idx_file(shape: tuple[int, ...], tmp_path: Path):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(shape, values.tobytes())))
    read = read_idx(tmp_path / "x.gz")
    assert read.dtype == np.uint8
    assert read.shape == shape
    assert np.array_equal(read, values)


def test_reads_mnist_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDGECNN_DATA", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    write(tmp_path / "mnist", "train", pixels, np.arange(10, dtype=np.uint8))
    train = open_source("mnist").split("train")
    assert (train.source, len(train)) == ("mnist", 10)
    assert np.array_equal(np.asarray(train.images[3]), pixels[3])
    assert Mnist.labels[9] == "9"


def test_rejects_an_unknown_class(small: Path):
    write(small, "train", np.zeros((1, 28, 28), np.uint8), np.array([10], np.uint8))
    with pytest.raises(SourceError, match="does not have a class 10"):
        FashionMnist().split("train")
