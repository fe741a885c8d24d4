"""Five hundred photographs, many of them damaged or with odd metadata, through train, export, quantize and predict."""

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

FORMATS = (("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif"), ("GIF", ".gif"), ("BMP", ".bmp"))
DAMAGED, ODD = 12, 150


def photograph(label: str, number: int, kind: str) -> bytes:
    rng = np.random.default_rng((number, len(label)))
    pixels = rng.integers(0, 90, (40, 36, 3), dtype=np.uint8)
    pixels[10:30, 10:26, 0 if label == "cat" else 2] += 120
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def with_odd_metadata(content: bytes, chance: random.Random) -> bytes:
    """Insert an EXIF segment with one to four random entries into a JPEG."""
    count = chance.randrange(1, 5)
    entries = b"".join(
        struct.pack("<HHI", chance.choice([0x112, 0x100, 0x11A, 0x8769, 0x9286]), chance.randrange(14), 1)
        + chance.randbytes(4)
        for _ in range(count)
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder of 500 photographs, and the names of the damaged ones."""
    chance, root, damaged = random.Random(0), tmp_path / "photos", []
    for number in range(500):
        label, split = ("cat", "dog")[number % 2], "test" if number % 5 == 0 else "train"
        kind, suffix = ("JPEG", ".jpg") if number < ODD else FORMATS[number % len(FORMATS)]
        content = photograph(label, number, kind)
        if number < ODD:
            content = with_odd_metadata(content, chance)
        elif split == "train" and len(damaged) < DAMAGED and kind in ("JPEG", "PNG", "WEBP"):
            content = content[: len(content) // 2]
            damaged.append(f"{number}{suffix}")
        folder = root / split / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}{suffix}").write_bytes(content)
    return root, damaged


def test_damage_stops_nothing(photographs: tuple[Path, list[str]], tmp_path: Path, edgecnn: Callable):
    root, damaged = photographs
    trained = edgecnn("train", "lenet", "--data", root, "--epochs", "2", "--out", tmp_path / "ck")
    assert trained.code == 0, trained.err
    assert "Traceback" not in trained.err
    reported = [line for line in trained.err.splitlines() if "cannot be decoded and are skipped" in line]
    assert sum(int(line.split()[1]) for line in reported) == len(damaged)
    assert all(any(name in line for name in damaged) for line in reported)
    exported = edgecnn("export", tmp_path / "ck", "--out", tmp_path / "fp32")
    assert exported.code == 0, exported.err
    out = ("--out", tmp_path / "int8", "--max-drop", "100")
    quantized = edgecnn("quantize", tmp_path / "fp32", "--calibration", root, *out)
    assert quantized.code == 0, quantized.err
    files = sorted(path for path in root.rglob("*") if path.is_file())
    predicted = edgecnn("predict", tmp_path / "int8", *files)
    assert predicted.code == 1
    assert len(predicted.out.splitlines()) == 500 - len(damaged)
    errors = [line for line in predicted.err.splitlines() if line.startswith("error: /")]
    assert sorted(Path(line.split()[1]).name for line in errors) == sorted(damaged)
