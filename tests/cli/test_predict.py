"""`edgecnn predict`: answers, and one line for each image that cannot be read."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle


@pytest.fixture
def digit(committed: Bundle, tmp_path: Path) -> Path:
    Image.fromarray(committed.self_test().images[5, :, :, 0]).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


def test_a_digit_is_read(edgecnn, committed: Bundle, digit: Path):
    result = edgecnn("predict", committed.path, digit, "--top", 2)
    label = committed.manifest.labels[committed.self_test().logits[5].argmax()]
    assert result.code == 0
    assert result.out.startswith(f"{digit}: {label} ")
    assert result.out.count("%") == 2


def test_json_says_what_ran(edgecnn, committed: Bundle, digit: Path):
    found = json.loads(edgecnn("predict", committed.path, digit, digit, "--backend", "openvino", "--json").out)
    assert found["session"]["engine"] == "openvino"
    assert found["session"]["precision"] == "fp32"
    assert len(found["predictions"]) == 2


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 half a jpeg", b"GIF89a"])
def test_an_image_that_cannot_be_read_is_one_line_and_the_others_are_answered(
    edgecnn, committed: Bundle, digit: Path, tmp_path: Path, content: bytes
):
    (tmp_path / "bad.jpg").write_bytes(content)
    result = edgecnn("predict", committed.path, tmp_path / "bad.jpg", digit)
    assert result.code == 1
    assert f"{digit}: " in result.out
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert "bad.jpg" in lines[0]
    assert lines[1] == "error: 1 of 2 images could not be read"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_is_answered(edgecnn, committed: Bundle, tmp_path: Path, mode: str):
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
    if mode != "1":  # dithered black and white is another picture
        assert result.out.startswith(f"{path}: {label} ")


def test_without_images_it_is_a_usage_error(edgecnn, committed: Bundle):
    assert edgecnn("predict", committed.path).code == 2
