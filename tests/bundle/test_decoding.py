"""Tests of decoding: unusual, damaged and huge images."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.decoding import decode
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.errors import ImageError, ImageTooLarge

RANDOM = np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8)
PICTURE = Image.fromarray(RANDOM)
ORIENTATION = 0x0112


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def header_of(width: int, height: int) -> bytes:
    """Return a PNG with a given size in its header and ten bytes of data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


def refused(image: object, error: type[ImageError] = ImageError, **options: int) -> str:
    """Return the error message for an image, which is always one line."""
    with pytest.raises(error) as raised:
        decode(image, "RGB", **options)  # type: ignore[arg-type]
    assert type(raised.value) is error
    assert "\n" not in str(raised.value)
    return str(raised.value)


JPEG = encoded(PICTURE, "JPEG")
PNG = encoded(PICTURE, "PNG")
BMP = encoded(PICTURE, "BMP")

FAULTS: dict[str, tuple[bytes, str]] = {
    "truncated.jpg": (JPEG[: len(JPEG) * 3 // 4], "is damaged: image file is truncated"),
    "truncated-header.jpg": (JPEG[:100], "is damaged"),
    "truncated.png": (PNG[: len(PNG) // 2], "is damaged: image file is truncated"),
    "truncated-header.png": (PNG[:20], "is damaged"),
    "truncated.bmp": (BMP[: len(BMP) // 2], "is damaged: image file is truncated"),
    "too-short.png": (header_of(80, 80), "is damaged: image file is truncated"),
    "flipped.png": (PNG[:200] + bytes([PNG[200] ^ 0xFF]) + PNG[201:], "is damaged"),
    "no-size.png": (header_of(0, 5), "is damaged"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_rejects_a_damaged_file(name: str, tmp_path: Path):
    content, named = FAULTS[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path).startswith(f"{path} {named}")
    assert refused(str(path)).startswith(f"{path} {named}")


@pytest.mark.parametrize("name", FAULTS)
def test_rejects_damaged_bytes(name: str):
    content, named = FAULTS[name]
    assert refused(content).startswith(f"the image {named}")


@pytest.mark.parametrize("content", [JPEG, PNG, BMP], ids=["jpeg", "png", "bmp"])
def test_rejects_or_decodes_a_truncated_file(content: bytes):
    messages = []
    for length in range(0, len(content), 7):
        try:
            decode(content[:length], "RGB")  # truncation after the last pixel is harmless
        except ImageError as error:
            messages.append(str(error))
    assert len(messages) > 0.9 * len(content) / 7
    assert not any("\n" in message for message in messages)


def test_rejects_a_truncated_pillow_image():
    with Image.open(io.BytesIO(JPEG[:-400])) as picture:
        assert refused(picture).startswith("the image is damaged: image file is truncated")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (10_000, 10_000), (9_000, 9_000), (8_001, 8_000)])
def test_rejects_too_many_pixels_before_decoding(width: int, height: int, tmp_path: Path):
    assert width * height > MAX_PIXELS
    path = tmp_path / "bomb.png"
    path.write_bytes(header_of(width, height))
    message = refused(path, ImageTooLarge)
    assert message.startswith(f"{path} is too large: expected at most 64,000,000 pixels")


def test_limit_on_pixels_is_exact(tmp_path: Path):
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    assert decode(path, "RGB", max_pixels=33 * 21).size == (33, 21)
    message = refused(path, ImageTooLarge, max_pixels=33 * 21 - 1)
    assert message.startswith(f"{path} is too large: expected at most 692 pixels, found 33")


def test_rejects_an_unreadable_path(tmp_path: Path):
    assert refused(tmp_path / "gone.png") == f"cannot read {tmp_path / 'gone.png'}: No such file or directory"
    assert refused(tmp_path) == f"cannot read {tmp_path}: Is a directory"
    assert refused("a\0b.png").startswith("cannot read 'a\\x00b.png'")


@pytest.mark.parametrize("thing", [None, 3, 2.5, [1, 2], object()])
def test_rejects_other_types(thing: object):
    assert refused(thing).endswith(f"found {type(thing).__name__}")


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("content", [PNG, BMP], ids=["png", "bmp"])
def test_decodes_lossless_files_exactly(content: bytes, wrap: Callable[[bytes], bytes], tmp_path: Path):
    (tmp_path / "picture").write_bytes(content)
    assert np.array_equal(decode(tmp_path / "picture", "RGB"), RANDOM)
    assert np.array_equal(decode(wrap(content), "RGB"), RANDOM)


def test_ignores_the_suffix(tmp_path: Path):
    (tmp_path / "really-a-png.jpg").write_bytes(PNG)
    assert np.array_equal(decode(tmp_path / "really-a-png.jpg", "RGB"), RANDOM)


def test_converts_colour_to_grey_as_pillow():
    grey = decode(PNG, "L")
    assert grey.mode == "L"
    assert np.array_equal(grey, PICTURE.convert("L"))


def test_converts_cmyk_to_rgb_as_pillow(tmp_path: Path):
    path = tmp_path / "print.jpg"
    PICTURE.convert("CMYK").save(path)
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
        expected = np.asarray(stored.convert("RGB"))
    assert np.array_equal(decode(path, "RGB"), expected)


@pytest.mark.parametrize(("sample", "expected"), [(0xABCD, 0xAB), (0x00FF, 0x00), (0xFFFF, 0xFF), (0x0100, 0x01)])
def test_keeps_the_upper_byte_of_16_bit_samples(sample: int, expected: int, tmp_path: Path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((3, 4), sample, np.uint16)).save(path)
    assert np.array_equal(decode(path, "L"), np.full((3, 4), expected))
    assert np.array_equal(decode(path, "RGB"), np.full((3, 4, 3), expected))


def test_resolves_a_palette(tmp_path: Path):
    path = tmp_path / "palette.png"
    palette = PICTURE.quantize(16)
    palette.save(path)
    assert np.array_equal(decode(path, "RGB"), palette.convert("RGB"))


@pytest.mark.parametrize("transparency", [3, bytes([0, 128] + [255] * 14)], ids=["one colour", "table"])
def test_drops_the_transparency_of_a_palette(transparency: int | bytes):
    palette = PICTURE.quantize(16)
    content = encoded(palette, "PNG", transparency=transparency)
    assert np.array_equal(decode(content, "RGB"), palette.convert("RGB"))
    assert np.array_equal(decode(content, "L"), palette.convert("L"))


def test_drops_alpha_without_blending(tmp_path: Path):
    path = tmp_path / "alpha.png"
    alpha = np.full((21, 33, 1), 7, np.uint8)
    Image.fromarray(np.concatenate([RANDOM, alpha], axis=2)).save(path)
    assert np.array_equal(decode(path, "RGB"), RANDOM)


def test_drops_alpha_of_a_grey_image():
    grey = RANDOM[:, :, 0]
    content = encoded(Image.merge("LA", [Image.fromarray(grey), Image.new("L", (33, 21), 7)]), "PNG")
    assert np.array_equal(decode(content, "L"), grey)


def test_converts_one_bit_to_black_and_white(tmp_path: Path):
    path = tmp_path / "bits.png"
    bits = RANDOM[:, :, 0] > 127
    Image.fromarray(bits).save(path)
    assert np.array_equal(decode(path, "L"), bits * 255)
    assert np.array_equal(decode(path, "RGB"), np.repeat(bits[:, :, None], 3, axis=2) * 255)


# How the camera stored the upright picture, by EXIF orientation (EXIF 2.32, 4.6.4 A: where row 0 and column 0 lie).
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_applies_the_exif_orientation(orientation: int, kind: str, tmp_path: Path):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](RANDOM)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"photo.{kind.lower()}"
    stored.save(path, kind, exif=exif)
    upright = decode(path, "RGB")
    assert upright.size == (33, 21)
    assert upright.getexif().get(ORIENTATION, 1) == 1
    with Image.open(path) as as_stored:
        assert np.array_equal(STORED[orientation](np.asarray(upright)), as_stored)
    assert kind == "JPEG" or np.array_equal(upright, RANDOM)


def test_does_not_change_the_given_image():
    picture = PICTURE.quantize(16)
    picture.info["transparency"] = bytes([0] * 16)
    decode(picture, "L")
    assert (picture.mode, picture.info["transparency"]) == ("P", bytes(16))


@pytest.mark.parametrize("array", [RANDOM, RANDOM[:, :, 0], RANDOM[:, :, :1], RANDOM[::-1, ::2]])
def test_accepts_a_uint8_array(array: np.ndarray):
    expected = np.broadcast_to(array.reshape(*array.shape[:2], -1), (*array.shape[:2], 3))
    assert np.array_equal(decode(array, "RGB"), expected)


def test_keeps_alpha_in_mode_rgba():
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    assert np.array_equal(decode(array, "RGBA"), array)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    assert np.array_equal(decode(buffer.getvalue(), "RGBA"), array)
    assert np.array_equal(decode(buffer.getvalue(), "RGB"), array[:, :, :3])


@pytest.mark.parametrize("shape", [(4,), (), (4, 5, 2), (4, 5, 4), (1, 4, 5, 3), (0, 5), (4, 0, 3)])
def test_rejects_an_array_of_another_shape(shape: tuple[int, ...]):
    assert refused(np.zeros(shape, np.uint8)).endswith(f"{list(shape)}")


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint16, np.bool_])
def test_rejects_an_array_of_another_type(kind: type):
    assert f"found {np.dtype(kind)} [4, 5, 3]" in refused(np.zeros((4, 5, 3), kind))


def painted_again(content: bytes, times: int) -> bytes:
    """Return a progressive JPEG with its last scan repeated."""
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * times + content[-2:]


def test_rejects_a_jpeg_with_too_many_scans():
    content = encoded(PICTURE, "JPEG", progressive=True)
    assert decode(content, "RGB").size == PICTURE.size
    assert decode(painted_again(content, 100), "RGB").size == PICTURE.size
    assert "JPEG scans, expected at most 200" in refused(painted_again(content, 500))


def test_rejects_an_mpo_with_too_many_scans():
    content = encoded(PICTURE, "JPEG", progressive=True)
    several = encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE])
    start = several.index(b"\xff\xe2")
    says = several[start : start + 2 + int.from_bytes(several[start + 2 : start + 4], "big")]
    bomb = content[:2] + says + painted_again(content, 500)[2:]
    with Image.open(io.BytesIO(bomb)) as picture:
        assert picture.format == "MPO"
    assert "JPEG scans, expected at most 200" in refused(bomb)


def test_allows_fewer_scans_for_a_larger_jpeg():
    content = encoded(Image.new("L", (8000, 8000)), "JPEG", progressive=True)
    assert "JPEG scans, expected at most 20 for its size" in refused(painted_again(content, 20))


def test_keeps_the_levels_of_32_bit_integers():
    levels = np.array([[0, 100, 255]], np.int32)
    assert np.asarray(decode(Image.fromarray(levels), "L")).tolist() == [[0, 100, 255]]
