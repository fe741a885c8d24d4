"""Embedded pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from edgecnn.pipeline.reporting.thumbnails import thumbnail


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [
        ((1, 1, 1), "png", (1, 1)),
        ((32, 32, 1), "png", (32, 32)),
        ((224, 224, 3), "jpeg", (96, 96)),
        ((40, 400, 3), "jpeg", (96, 10)),
        ((1, 4096, 1), "jpeg", (96, 1)),
        ((224, 112, 4), "png", (48, 96)),
    ],
)
def test_pictures_are_small(shape: tuple[int, ...], kind: str, size: tuple[int, int]):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    address = thumbnail(pixels)
    head, _, content = address.partition(",")
    assert head == f"data:image/{kind};base64"
    assert len(content) < 60_000
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == size


def test_small_pictures_are_exact():
    pixels = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48, 1)
    content = base64.b64decode(thumbnail(pixels).partition(",")[2])
    assert (np.asarray(Image.open(io.BytesIO(content))) == pixels[:, :, 0]).all()
