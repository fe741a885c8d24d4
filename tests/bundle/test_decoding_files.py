"""Tests that the files of phones, scanners, cameras and Pillow are decoded to the picture that they show."""

import io
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    ASCII,
    GREY,
    HEIGHT,
    LEVELS,
    LONG,
    PICTURE,
    PIXELS,
    SHORT,
    WIDTH,
    bmp,
    chunk,
    encoded,
    short,
    tiff,
    with_chunk,
)
from picture_files import COLOURS, EXACT, GIFS, LOSSY, LOSSY_INSIDE, PALETTE, PNGS, TIFFS
from PIL import Image, PngImagePlugin

from edgecnn.bundle.decoding import ImageHeader, decode, read_header
from edgecnn.bundle.formats import FORMATS, SERVED, identify
from edgecnn.errors import ImageError, ImageTooLarge, UnknownFormat


def in_a_corner(content: bytes) -> bytes:
    """Return a GIF file with a canvas that is larger than its frame, which is at (5, 3)."""
    at = content.index(b",\0\0\0\0")
    canvas = struct.pack("<HH", WIDTH + 5, HEIGHT + 3)
    return content[:6] + canvas + content[10 : at + 1] + struct.pack("<HH", 5, 3) + content[at + 5 :]


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(int) - expected.astype(int)).mean())


@pytest.mark.parametrize("name", EXACT)
def test_decodes_a_lossless_file(name: str, tmp_path: Path):
    content, expected = EXACT[name]
    path = tmp_path / "picture"
    path.write_bytes(content)
    found = np.asarray(decode(path, "RGB"))
    if name in LOSSY_INSIDE:
        assert distance(found, expected) < 4
    else:
        assert np.array_equal(found, expected)
    assert np.array_equal(decode(content, "RGB"), found)
    grey = np.asarray(decode(content, "L"))
    assert distance(grey, np.asarray(Image.fromarray(found).convert("L"))) < 1
    assert decode(content, "RGBA").mode == "RGBA"


@pytest.mark.parametrize("name", LOSSY)
def test_decodes_a_lossy_file(name: str):
    assert distance(np.asarray(decode(LOSSY[name], "RGB")), PIXELS) < 6


@pytest.mark.parametrize("name", [*EXACT, *LOSSY])
def test_reads_the_header(name: str):
    content = EXACT[name][0] if name in EXACT else LOSSY[name]
    header = read_header(content)
    assert (header.format, header.width, header.height) == (name.partition(",")[0], WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("content", "is_grey"),
    [
        (encoded(GREY, "JPEG"), True),
        (encoded(GREY, "PNG"), True),
        (PNGS["grey and alpha"][0], True),
        (TIFFS["12 bits"][0], True),
        (TIFFS["float, 0..1"][0], True),
        (encoded(PICTURE, "JPEG"), False),
        (PNGS["palette"][0], False),
    ],
)
def test_header_tells_grey_from_colour(content: bytes, is_grey: bool, tmp_path: Path):
    (tmp_path / "picture").write_bytes(content)
    assert read_header(tmp_path / "picture").is_grey is is_grey


def test_places_the_first_frame_of_a_gif():
    found = np.asarray(decode(in_a_corner(encoded(PALETTE, "GIF", interlace=0)), "RGB"))
    assert found.shape == (HEIGHT + 3, WIDTH + 5, 3)
    assert np.array_equal(found[3:, 5:], COLOURS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_decodes_heif(mode: str):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(PICTURE.convert(mode)).save(file, quality=95)
    assert distance(np.asarray(decode(file.getvalue(), "RGB")), PIXELS) < 6
    assert read_header(file.getvalue()) == ImageHeader("HEIF", WIDTH, HEIGHT, is_grey=False)


@pytest.mark.parametrize(
    ("name", "module", "needed"),
    [
        ("HEIF", "pillow_heif", r"pillow-heif \(pip install .*heif"),
        ("AVIF", "PIL._avif", "a build of Pillow with AVIF"),
    ],
)
def test_says_what_a_format_needs(name: str, module: str, needed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.bundle.formats.importlib.util.find_spec", lambda asked: None if asked == module else 1)
    file = b"\0\0\0\x1cftyp" + {"HEIF": b"heic", "AVIF": b"avif"}[name] + bytes(100)
    with pytest.raises(UnknownFormat, match=f"^the image is a {name} image, which needs {needed}"):
        read_header(file)
    with pytest.raises(UnknownFormat, match=f"{'AVIF' if name == 'HEIF' else 'HEIF'} image$"):
        read_header(b"text")


# Other files

FOREIGN = {
    "nothing": b"",
    "text": b"BMW, Daimler, Volkswagen" * 20,
    "AppleDouble": b"\0\5\x16\7" + bytes(60),
    "sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
    "film": b"\0\0\0\x18ftypmp42" + bytes(100),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "icon": encoded(PICTURE, "ICO"),
    "JPEG 2000": encoded(PICTURE, "JPEG2000"),
    "TGA": encoded(PICTURE, "TGA"),
    "a raw file of Canon": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
    "a raw file with a preview": tiff(
        LEVELS.tobytes(), tags={254: (254, LONG, 1, b"\1\0\0\0"), 330: (330, LONG, 1, bytes(4))}
    ),
    "DNG": tiff(LEVELS.tobytes(), tags={50706: (50706, 1, 4, b"\1\4\0\0")}),
}


@pytest.mark.parametrize("read", [read_header, lambda path: decode(path, "RGB")], ids=["header", "pixels"])
@pytest.mark.parametrize("name", FOREIGN)
def test_rejects_other_files(name: str, read: Callable[[Path], object], tmp_path: Path):
    path = tmp_path / "._picture.jpg"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(UnknownFormat) as raised:
        read(path)
    assert str(raised.value).startswith(str(path))


def test_lists_the_formats_that_are_read():
    with pytest.raises(UnknownFormat, match=r"^the image is not a JPEG, PNG, BMP, WebP, TIFF, GIF.* or \w+ image$"):
        decode(b"text", "RGB")
    with pytest.raises(UnknownFormat, match=r"^the image is a GIF image, expected JPEG, PNG or BMP$"):
        decode(GIFS["palette"][0], "RGB", formats=SERVED)
    with pytest.raises(UnknownFormat, match=r"^the image is not a PNG image$"):
        decode(b"text", "RGB", formats=("PNG",))


def test_opens_no_parser_of_another_format(monkeypatch: pytest.MonkeyPatch):
    files = {"JPEG": LOSSY["JPEG"], "PNG": PNGS["colour"][0], "GIF": GIFS["palette"][0], "WebP": LOSSY["WebP"]}
    for name, content in files.items():
        assert identify(content[:256]) == name
        others = tuple(each for each in FORMATS if each != name)
        monkeypatch.setattr("edgecnn.bundle.parsing.importlib.import_module", None)
        with pytest.raises(UnknownFormat):
            decode(content, "RGB", formats=others)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x18\0\x20\1\1\x11\0" + bytes(20), "cannot handle 12-bit layers"),
        (tiff(bytes(2 * WIDTH * HEIGHT), bits=(64,)), "unknown pixel mode"),
        (tiff(LEVELS.tobytes(), tags={259: (259, SHORT, 1, short(34712))}), "unsupported value 34712"),
        (bmp(b"", 24, compression=4), r"Unsupported BMP compression \(4\)"),
    ],
    ids=["12 bits", "64 bits", "JPEG 2000 in TIFF", "JPEG in BMP"],
)
def test_says_what_is_not_supported(content: bytes, reason: str):
    with pytest.raises(ImageError, match=rf"^the image cannot be decoded \({reason}\): save it as PNG or 8-bit JPEG$"):
        decode(content, "RGB")


# Sizes and metadata


@pytest.mark.parametrize("limit", [5, None])
def test_ignores_the_limit_of_pillow(limit: int | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for name in ("JPEG", "JPEG, CMYK"):
        assert decode(LOSSY[name], "RGB").size == (WIDTH, HEIGHT)
    for name in ("PNG, colour", "BMP, 24 bits", "GIF, palette"):
        assert decode(EXACT[name][0], "RGB").size == (WIDTH, HEIGHT)
        with pytest.raises(ImageTooLarge, match="expected at most 767 pixels, found 32 × 24; scale it down"):
            decode(EXACT[name][0], "RGB", max_pixels=WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("name", ["TIFF, colour", "WebP, lossless"])
def test_names_a_lower_limit_of_pillow(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(ImageTooLarge, match=r"expected at most 10 pixels \(twice PIL.Image.MAX_IMAGE_PIXELS\)"):
        decode(EXACT[name][0], "RGB")


@pytest.mark.parametrize("name", ["TIFF", "WebP"])
def test_rejects_a_huge_header(name: str):
    huge = {
        "TIFF": tiff(b"", size=(100_000, 100_000)),
        "WebP": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\xff\0" * 2,
    }
    with pytest.raises(ImageTooLarge, match="expected at most 64,000,000 pixels, found"):
        read_header(huge[name])


LONG_TEXT = PngImagePlugin.PngInfo()
LONG_TEXT.add_text("Comment", "a" * (2 << 20), zip=True)
LONG_TEXT.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>')


@pytest.mark.parametrize("at_the_end", [False, True])
def test_ignores_long_texts_of_a_png(at_the_end: bool):
    profile = chunk(b"iCCP", b"printer\0\0" + zlib.compress(bytes(3 << 20)))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (3 << 20)))
    for added in (profile, text):
        content = with_chunk(encoded(PICTURE, "PNG"), added, at_the_end=at_the_end)
        assert np.array_equal(decode(content, "RGB"), PIXELS)
        assert read_header(content).width == WIDTH
    turned = encoded(PICTURE, "PNG", pnginfo=LONG_TEXT)
    assert np.array_equal(decode(turned, "RGB"), PIXELS[::-1, ::-1])


def test_long_texts_do_not_hide_damage():
    content = with_chunk(
        encoded(PICTURE, "PNG"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (3 << 20))),
        at_the_end=True,
    )
    at = content.index(b"IDAT") + 20
    with pytest.raises(ImageError, match="is damaged"):
        decode(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :], "RGB")


def test_hides_the_warnings_of_pillow(recwarn: pytest.WarningsRecorder):
    odd = [
        PNGS["two animation headers"][0],
        PNGS["palette with alpha"][0],
        encoded(PICTURE, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(300)),
        tiff(LEVELS.tobytes(), tags={315: (315, ASCII, 2**31, b"\xff\xff\xff\x7f")}),
        LOSSY["JPEG, a bad list of pictures"],
    ]
    for content in odd:
        decode(content, "L")
        with Image.open(io.BytesIO(content)) as picture:
            recwarn.clear()
            decode(picture, "L")
            assert not recwarn.list


def test_reads_a_pipe(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(PNGS["colour"][0],))
    writer.start()
    assert np.array_equal(decode(pipe, "RGB"), PIXELS)
    writer.join()
