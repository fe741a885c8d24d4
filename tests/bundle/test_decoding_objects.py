"""Tests of pictures in memory: Pillow images of every mode, opened files, arrays and buffers."""

import copy
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from image_files import GREY, HEIGHT, LEVELS, PICTURE, PIXELS, SHORT, WIDTH, encoded, short, tiff
from PIL import Image

from edgecnn.bundle.decoding import Mode, decode
from edgecnn.bundle.formats import can_read
from edgecnn.errors import ImageError

DEEP = LEVELS.astype(np.uint16) * 257
ALPHA = Image.fromarray(np.maximum(LEVELS, 1))
"""Premultiplied colours survive where alpha is not zero."""


def of_16_bits(mode: str) -> Image.Image:
    order = ">u2" if mode.endswith("B") else "<u2"
    return Image.frombytes(mode, (WIDTH, HEIGHT), DEEP.astype(order).tobytes())


def with_info(picture: Image.Image, **info: object) -> Image.Image:
    picture = picture.copy()
    picture.info.update(info)
    return picture


COLOURED = {
    "P": PICTURE.quantize(64),
    "PA": Image.merge("RGBA", [*PICTURE.split(), ALPHA]).convert("PA"),
    "RGB": PICTURE,
    "RGBA": Image.merge("RGBA", [*PICTURE.split(), ALPHA]),
    "RGBa": Image.merge("RGBA", [*PICTURE.split(), Image.new("L", PICTURE.size, 200)]).convert("RGBa"),
    "RGBX": PICTURE.convert("RGBX"),
    "CMYK": PICTURE.convert("CMYK"),
    "YCbCr": PICTURE.convert("YCbCr"),
    "LAB": PICTURE.convert("LAB"),
    "HSV": PICTURE.convert("HSV"),
    "P, one transparent colour": with_info(PICTURE.quantize(64), transparency=3),
    "P, alpha": with_info(PICTURE.quantize(64), transparency=bytes(64)),
    "P, a transparent colour that is none": with_info(PICTURE.quantize(64), transparency="white"),
    "RGB, a transparent colour": with_info(PICTURE, transparency=(0, 0, 0)),
    "RGB, a transparent level": with_info(PICTURE, transparency=3),
    "P of a GIF": Image.open(io.BytesIO(encoded(PICTURE.quantize(64), "GIF", transparency=0))),
}
GREYS = {
    "L": GREY,
    "LA": Image.merge("LA", [GREY, ALPHA]),
    "La": Image.merge("LA", [GREY, Image.new("L", GREY.size, 200)]).convert("La"),
    "L, a transparent level": with_info(GREY, transparency=0),
    "L, a transparent colour": with_info(GREY, transparency=(0, 0, 0)),
    "I, 0..255": GREY.convert("I"),
    "I, 0..65535": Image.fromarray(DEEP.astype(np.int32)),
    "I;16": of_16_bits("I;16"),
    "I;16B": of_16_bits("I;16B"),
    "I;16L": of_16_bits("I;16L"),
    "I;16N": of_16_bits("I;16N"),
    "F, 0..255": GREY.convert("F"),
    "F, 0..1": Image.fromarray(LEVELS.astype(np.float32) / 255),
}


def distance(found: Image.Image, expected: Image.Image) -> float:
    return float(np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int)).mean())


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("name", [*COLOURED, *GREYS])
def test_converts_every_mode(name: str, mode: Mode, recwarn: pytest.WarningsRecorder):
    picture = (COLOURED | GREYS)[name]
    info = dict(picture.info)
    found = decode(picture, mode)
    assert (found.mode, found.size) == (mode, (WIDTH, HEIGHT))
    opaque = found.convert("RGB") if mode == "RGBA" else found
    source = PICTURE if name in COLOURED else GREY
    assert distance(opaque, source.convert(opaque.mode)) < (18 if name.startswith("PA") else 12)
    assert picture.mode == name.partition(",")[0].partition(" ")[0]
    assert picture.info == info
    assert np.array_equal(decode(picture, mode), found)
    assert not recwarn.list
    assert found is not picture


def test_converts_one_bit():
    bits = LEVELS > 127
    assert np.array_equal(decode(Image.fromarray(bits), "L"), bits * 255)


@pytest.mark.parametrize("name", ["L", "RGB", "I, 0..65535", "F, 0..1"])
def test_gives_a_copy(name: str):
    picture = (COLOURED | GREYS)[name]
    decode(picture, "L").paste(7, (0, 0, WIDTH, HEIGHT))
    decode(picture, "RGB").paste((7, 7, 7), (0, 0, WIDTH, HEIGHT))
    assert distance(decode(picture, "L"), GREY) < 1


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 255, 256]], np.int32), [0, 0, 1]),
        (np.array([[0, 0x1234, 0xFFFF]], np.int32), [0, 0x12, 0xFF]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.5, 1.5, 254.9]], np.float32), [0, 0, 1, 254]),
        (np.zeros((1, 2), np.float32), [0, 0]),
    ],
)
def test_scales_32_bit_samples(samples: np.ndarray, expected: list[int]):
    assert np.asarray(decode(Image.fromarray(samples), "L")).ravel().tolist() == expected
    assert np.asarray(decode(Image.fromarray(samples), "RGB"))[0, :, 2].tolist() == expected


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (np.array([[0, 65536]], np.int32), "integer samples in 0..65536, expected 0..255 or 0..65535"),
        (np.array([[-1, 3]], np.int32), "integer samples in -1..3, expected 0..255 or 0..65535"),
        (np.array([[0, 256]], np.float32), "float samples in 0..256, expected 0..1 or 0..255"),
        (np.array([[-1, 1]], np.float32), "float samples in -1..1, expected 0..1 or 0..255"),
        (np.array([[0, np.nan]], np.float32), "float samples in nan..nan, expected 0..1 or 0..255"),
        (np.array([[0, np.inf]], np.float32), "float samples in 0..inf, expected 0..1 or 0..255"),
    ],
)
def test_names_the_range_of_other_samples(samples: np.ndarray, found: str):
    with pytest.raises(ImageError) as raised:
        decode(Image.fromarray(samples), "RGB")
    assert str(raised.value) == f"the image has {found}: scale them"


def test_names_the_range_of_a_signed_tiff():
    content = tiff(np.array([[-3, 7]], "<i2").tobytes(), bits=(16,), size=(2, 1), tags={339: (339, SHORT, 1, short(2))})
    with pytest.raises(ImageError, match=r"the image has integer samples in -3\.\.7, expected 0\.\.32767: scale them"):
        decode(content, "L")


# Opened files


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP"])
def test_decodes_an_opened_file(kind: str, tmp_path: Path):
    path = tmp_path / "picture"
    path.write_bytes(encoded(PICTURE, kind))
    expected = np.asarray(decode(path, "RGB"))
    with Image.open(path) as lazy:
        assert np.array_equal(decode(lazy, "RGB"), expected)
        for again in (lazy, lazy.copy(), copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
            assert np.array_equal(decode(again, "RGB"), expected)
    with Image.open(path) as loaded:
        loaded.load()
    assert kind == "GIF" or np.array_equal(decode(loaded, "RGB"), expected)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_decodes_a_closed_file_in_memory(kind: str):
    if kind == "AVIF" and not can_read(kind):
        pytest.skip("Pillow has no AVIF")
    with Image.open(io.BytesIO(encoded(PICTURE, kind))) as closed:
        pass
    assert distance(decode(closed, "RGB"), PICTURE) < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_says_that_a_file_is_closed(kind: str, tmp_path: Path):
    path = tmp_path / "picture"
    path.write_bytes(encoded(PICTURE, kind))
    with Image.open(path) as closed:
        pass
    loaded = PICTURE.copy()
    loaded.close()
    for picture in (closed, loaded):
        with pytest.raises(
            ImageError, match=r"^the image is closed: decode it before, or call load\(\) before its file"
        ):
            decode(picture, "RGB")


@pytest.mark.parametrize("size", [(0, 0), (5, 0), (0, 5)])
def test_rejects_a_picture_without_pixels(size: tuple[int, int]):
    with pytest.raises(ImageError, match=f"^an image must contain pixels, found {size[0]} × {size[1]}$"):
        decode(Image.new("RGB", size), "RGB")


# Arrays and buffers


def variants(array: np.ndarray) -> dict[str, np.ndarray]:
    fixed = array.copy()
    fixed.flags.writeable = False
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), np.uint8)
    wide[..., ::2] = array
    return {
        "read only": fixed,
        "big endian": array.astype(">u1"),
        "columns first": np.asfortranarray(array),
        "every second": wide[..., ::2],
        "backwards": np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
    }


@pytest.mark.parametrize("layout", variants(PIXELS))
def test_takes_any_memory_layout(layout: str):
    assert np.array_equal(decode(variants(PIXELS)[layout], "RGB"), PIXELS)
    assert np.array_equal(decode(variants(LEVELS)[layout], "L"), LEVELS)
    assert np.array_equal(decode(variants(PIXELS)[layout], "L"), GREY)


def test_takes_a_strided_buffer():
    content = encoded(PICTURE, "PNG")
    doubled = bytes(byte for each in content for byte in (each, 0))
    assert np.array_equal(decode(memoryview(doubled)[::2], "RGB"), PIXELS)
    assert np.array_equal(decode(memoryview(np.frombuffer(content, np.uint8).copy()), "RGB"), PIXELS)
