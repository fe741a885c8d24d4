"""CIFAR-10: both file formats, malicious pickles, and downloads."""

import io
import pickle
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edgecnn.errors import SourceError
from edgecnn.pipeline.data import public_sets
from edgecnn.pipeline.data.cifar import Cifar10
from edgecnn.pipeline.data.sources import open_source

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
TARGETS = np.arange(12) % 10
NAMES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def planes(position: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two images in file order: the red, green and blue plane of each in a row."""
    chosen = slice(2 * position, 2 * position + 2)
    return IMAGES[chosen].transpose(0, 3, 1, 2).reshape(2, -1), TARGETS[chosen]


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes like Python 2, which had one type for text and bytes and wrote the original files."""

    dispatch: ClassVar[dict[type, object]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_old_string(self, value: str | bytes) -> None:
        content = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_old_string


def old_pickle(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_pickled(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for position, name in enumerate(NAMES):
        pixels, targets = planes(position)
        content = {b"data": pixels, b"labels": targets.tolist(), b"batch_label": b"x"}
        (folder / name).write_bytes(old_pickle(content))
    return folder


def write_binary(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for position, name in enumerate(NAMES):
        pixels, targets = planes(position)
        (folder / f"{name}.bin").write_bytes(np.column_stack([targets.astype(np.uint8), pixels]).tobytes())
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CIFAR-10 folder in EDGECNN_DATA, without other folders and without network."""
    monkeypatch.setenv("EDGECNN_DATA", str(tmp_path / "sets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def unreachable(dataset: str, folder: str, marker: str) -> Path:
        raise OSError("no route to host")

    monkeypatch.setattr(public_sets, "download", unreachable)
    return tmp_path / "sets" / "cifar10"


@pytest.mark.parametrize("write", [write_pickled, write_binary])
def test_reads_pickles_and_binary_files(write, place: Path):
    write(place)
    source = open_source("cifar10")
    train, test = source.split("train"), source.split("test")
    assert (len(train), len(test), source.mode, len(source.labels)) == (10, 2, "RGB", 10)
    assert np.array_equal(np.stack([np.asarray(train.images[i]) for i in range(10)]), IMAGES[:10])
    assert np.array_equal(np.asarray(test.images[1]), IMAGES[11])
    assert train.known_targets().tolist() == TARGETS[:10].tolist()
    assert train.known_targets().dtype == np.int64


def test_finds_torchvision_downloads(place: Path):
    write_pickled(place.parents[1] / "data" / "cifar-10-batches-py")
    assert len(Cifar10().split("test")) == 2


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_rejects_pickles_without_executing_them(place: Path):
    write_pickled(place)
    trap = place / "executed"
    (place / "test_batch").write_bytes(pickle.dumps({b"data": Payload(trap), b"labels": [0]}, protocol=2))
    with pytest.raises(SourceError, match="is not allowed"):
        Cifar10().split("test")
    assert not trap.exists()


DAMAGES = {
    "empty": b"",
    "text": b"<html>404</html>",
    "truncated": old_pickle({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]})[:-400],
    "another key": old_pickle({b"images": 1}),
    "one target too few": old_pickle({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}),
    "another class": old_pickle({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}),
    "another type": old_pickle({b"data": np.zeros((1, 3072)), b"labels": [1]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_rejects_a_damaged_file(damage: str, place: Path):
    write_pickled(place)
    (place / "test_batch").write_bytes(DAMAGES[damage])
    with pytest.raises(SourceError, match=r"test_batch.*download it again") as raised:
        Cifar10().split("test")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", bytes(3072), bytes([10]) + bytes(3072)])
def test_rejects_a_damaged_binary_file(content: bytes, place: Path):
    write_binary(place)
    (place / "test_batch.bin").write_bytes(content)
    with pytest.raises(SourceError, match=r"test_batch\.bin.*download it again"):
        Cifar10().split("test")


def test_explains_how_to_get_missing_files(place: Path):
    with pytest.raises(SourceError) as raised:
        Cifar10().split("train")
    message = str(raised.value)
    for part in (str(place), "no route to host", "torchvision.datasets.CIFAR10", "EDGECNN_DATA"):
        assert part in message
    assert "\n" not in message


def test_downloads_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torchvision

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("EDGECNN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def broken(root: str, *, download: bool) -> None:
        write_pickled(Path(root) / "cifar-10-batches-py")
        raise OSError("connection reset")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", broken)
    with pytest.raises(SourceError, match="connection reset"):
        Cifar10().split("train")
    assert list((tmp_path / "edgecnn" / "data").iterdir()) == []
    monkeypatch.setattr(
        torchvision.datasets, "CIFAR10", lambda root, *, download: write_pickled(Path(root) / "cifar-10-batches-py")
    )
    assert len(Cifar10().split("train")) == 10
    assert [path.name for path in (tmp_path / "edgecnn" / "data").iterdir()] == ["cifar-10-batches-py"]


def test_rejects_an_unknown_split():
    with pytest.raises(SourceError, match="train and test"):
        Cifar10().split("val")
