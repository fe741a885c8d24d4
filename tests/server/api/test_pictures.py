"""Tests of image files in requests: preprocessing, and the status of each kind of faulty file."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.bundle.store import Bundle
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.pictures import pixels_of
from edgecnn.server.models.version import Bounds


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


BOUNDS = Bounds(max_batch=1, max_pending=1, max_delay_s=0, max_pixels=MAX_PIXELS)


def refused(file: bytes, committed: Bundle, bounds: Bounds = BOUNDS) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        pixels_of([file], committed.manifest, bounds)
    return caught.value.status, str(caught.value)


def test_decodes_the_self_test_files(committed: Bundle):
    self_test = committed.self_test()
    pngs = [each for each in self_test.encoded if each.format.upper() == "PNG"]
    assert pngs
    found = pixels_of([each.content for each in pngs], committed.manifest, BOUNDS)
    assert np.array_equal(found, np.stack([each.pixels for each in pngs]))


@pytest.mark.parametrize("file", [b"", b"\xff", b"<html><body>502</body></html>"], ids=["empty", "byte", "html"])
def test_rejects_a_file_that_is_not_an_image(file: bytes, committed: Bundle):
    status, text = refused(file, committed)
    assert status == 400
    assert "image" in text


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_rejects_a_truncated_file(file_format: str, committed: Bundle):
    whole = encoded(Image.effect_noise((200, 200), 80), file_format)
    status, text = refused(whole[: len(whole) // 2], committed)
    assert status == 400
    assert "cannot decode" in text


@pytest.mark.parametrize(("file_format", "name"), [("GIF", "GIF"), ("TIFF", "TIFF"), ("WEBP", "WebP"), ("ICO", "icon")])
def test_rejects_other_formats(file_format: str, name: str, committed: Bundle):
    status, text = refused(encoded(Image.new("RGB", (32, 32)), file_format), committed)
    assert status == 415
    assert name in text


@pytest.mark.parametrize("file", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"SIMPLE  =                    T", b"<svg xmlns='http"])
def test_rejects_formats_with_risky_parsers(file: bytes, committed: Bundle):
    assert refused(file, committed)[0] == 415


def test_rejects_too_many_pixels(committed: Bundle):
    few = dataclasses.replace(BOUNDS, max_pixels=300 * 299)
    status, text = refused(encoded(Image.new("1", (300, 300)), "PNG"), committed, few)
    assert status == 413
    assert "89,700" in text
    assert text.endswith("(this server's --max-pixels is lower than the default)")
    many = encoded(Image.new("1", (8001, 8000)), "PNG")
    assert "max-pixels" not in refused(many, committed)[1]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "WebP", "TIFF", "GIF", "AVIF", "HEIF"])
def test_decodes_the_chosen_formats(name: str, committed: Bundle):
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = encoded(Image.new("RGB", (40, 40), "white"), name)
    chosen = dataclasses.replace(BOUNDS, formats=(name,))
    assert pixels_of([file], committed.manifest, chosen).min() > 250
    other = dataclasses.replace(BOUNDS, formats=("GIF",) if name == "PNG" else ("PNG",))
    assert refused(file, committed, other) == (415, f"expected a {other.formats[0]} image, found {name}")
    assert refused(b"", committed, chosen) == (400, f"expected a {name} image, found an empty file")
    assert refused(b"text", committed, chosen) == (400, f"cannot decode: the image is not a {name} image")


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_resizes_an_image_of_any_shape(size: tuple[int, int], committed: Bundle):
    file = encoded(Image.new("L", size, 128), "PNG")
    found = pixels_of([file], committed.manifest, BOUNDS)
    assert found.shape == (1, *committed.manifest.image_shape)
