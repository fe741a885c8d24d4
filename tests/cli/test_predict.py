"""Tests of `edgecnn predict` with a bundle."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle


@pytest.fixture
def digit(committed: Bundle, tmp_path: Path) -> Path:
    Image.fromarray(committed.self_test().images[5, :, :, 0]).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


def test_classifies_a_digit(edgecnn, committed: Bundle, digit: Path):
    result = edgecnn("predict", committed.path, digit, "--top", 2)
    label = committed.manifest.labels[committed.self_test().logits[5].argmax()]
    assert result.code == 0
    assert result.out.startswith(f"{digit}: {label} ")
    assert result.out.count("%") == 2


def test_json_contains_the_session(edgecnn, committed: Bundle, digit: Path):
    options = ("--engine", "openvino", "--threads", 1, "--json")
    found = edgecnn("predict", committed.path, digit, digit, *options).json_lines
    assert [(each["engine"], each["threads"]) for each in found] == [("openvino", 1)] * 2
    assert {each["bundle"] for each in found} == {str(committed.path)}


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 half a jpeg", b"GIF89a"])
def test_skips_unreadable_images(edgecnn, committed: Bundle, digit: Path, tmp_path: Path, content: bytes):
    (tmp_path / "bad.jpg").write_bytes(content)
    result = edgecnn("predict", committed.path, tmp_path / "bad.jpg", digit)
    assert result.code == 1
    assert f"{digit}: " in result.out
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert "bad.jpg" in lines[0]
    assert lines[1] == "error: cannot read 1 of 2 images: see the errors above"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_classifies_images_in_every_mode(edgecnn, committed: Bundle, tmp_path: Path, mode: str):
    pixels = committed.self_test().images[5, :, :, 0]
    if mode == "I;16":
        picture = Image.fromarray(pixels.astype(np.uint16) << 8)
    else:
        picture = Image.fromarray(pixels).convert("RGB").convert(mode)
    path = tmp_path / ("digit.jpg" if mode == "CMYK" else "digit.png")
    picture.save(path)
    result = edgecnn("predict", committed.path, path)
    label = committed.manifest.labels[committed.self_test().logits[5].argmax()]
    assert result.code == 0, result.err
    if mode != "1":  # dithering to black and white changes the picture
        assert result.out.startswith(f"{path}: {label} ")


def test_a_checkpoint_is_exported_first(edgecnn, checkpoint_path: Path, digit: Path):
    result = edgecnn("predict", checkpoint_path, digit)
    assert result.code == 1
    assert f"it is a checkpoint: export it first: edgecnn export {checkpoint_path} --out " in result.error


def test_requires_an_image(edgecnn, committed: Bundle):
    assert edgecnn("predict", committed.path).code == 2
