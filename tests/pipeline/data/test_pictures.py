"""Images without classes: flat folders, lists, patterns and tar archives."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.decoding import decode
from edgecnn.errors import SourceError, SourceWarning
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import open_calibration


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A folder with twenty images and no subfolders."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for index in range(20):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


def archive(folder: Path, path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as file:
        for image in sorted(folder.iterdir(), reverse=True):
            file.add(image, image.name)
        for name in ("._00.png", "00.cls"):
            member = tarfile.TarInfo(name)
            member.size = 3
            file.addfile(member, io.BytesIO(b"cat"))
    return path


def opened(text: str | Path, count: int = 300) -> tuple[int, str]:
    """Return the number of calibration images, and the digest of the whole source."""
    calibration = open_calibration(str(text), count=count)
    assert calibration.chosen.targets is None
    assert calibration.source.labels == ()
    for index in range(len(calibration.chosen)):
        assert decode(calibration.chosen.images[index], "RGB").size == (8, 8)
    parts = [calibration.source.split(name) for name in ("train", "test")]
    return len(calibration.chosen), " ".join(sorted(part.digest for part in parts))


def test_calibrates_with_any_images(flat: Path, tmp_path: Path):
    expected = opened(flat)
    assert 10 <= expected[0] < 20
    (flat.parent / "list.txt").write_text("\n".join(f"flat/{path.name}" for path in sorted(flat.iterdir())) + "\n\n")
    assert opened(tmp_path / "list.txt") == expected
    assert opened(f"{flat}/*.png") == expected
    assert opened(f"{tmp_path}/**/*.png") == expected
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")):
        with pytest.warns(SourceWarning, match=r"1 file is left out \(00\.cls\)"):
            assert opened(archive(flat, tmp_path / name, mode)) == expected


@pytest.mark.parametrize("text", ["missing/*.png", "missing.tar", "list.txt", "empty", "noise.tar"])
def test_rejects_images_that_do_not_exist(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("missing.png\n")
    Path("empty").mkdir()
    Path("noise.tar").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(SourceError) as raised:
        open_calibration(text)
    assert text.split("/", maxsplit=1)[0].split(".", maxsplit=1)[0] in str(raised.value)


def test_asks_for_classes_where_they_are_needed(flat: Path):
    with pytest.raises(SourceError, match="expected one subfolder per class"):
        open_source(str(flat))


def test_reads_lists_with_a_byte_order_mark(flat: Path, tmp_path: Path):
    lines = "".join(f"{path}\r\n" for path in sorted(flat.iterdir()))
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert len(open_source(str(tmp_path / "list.txt"), needs_classes=False).split("train")) > 9
