"""Tests of the files that phones, scanners, cameras and Pillow write: each is decoded to the picture that it shows."""

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
    interlaced_png,
    packed,
    png,
    short,
    tiff,
    with_chunk,
)
from PIL import Image, PngImagePlugin

from edgecnn.bundle.decoding import ImageHeader, decode, read_header
from edgecnn.bundle.formats import FORMATS, SERVED, can_read, identify
from edgecnn.errors import ImageError, ImageTooLarge, UnknownFormat

ALPHA = Image.merge("RGBA", [*PICTURE.split(), GREY])
PALETTE = PICTURE.quantize(16)
COLOURS = np.asarray(PALETTE.convert("RGB"))
GREY_RGB = np.repeat(LEVELS[:, :, None], 3, axis=2)
BITS = LEVELS >= 128
BLACK_AND_WHITE = np.repeat(BITS[:, :, None] * np.uint8(255), 3, axis=2)
DEEP = LEVELS.astype(np.uint16) * 257
FOUR_BITS = LEVELS >> 4
FOUR_BIT_GREY = np.repeat((FOUR_BITS * 17)[:, :, None], 3, axis=2)
INDICES = np.asarray(PALETTE)
BMP_PALETTE = b"".join(bytes([*PALETTE.getpalette()[at : at + 3][::-1], 0]) for at in range(0, 48, 3))


def samples(pixels: np.ndarray, kind: str) -> bytes:
    return pixels.astype(kind).tobytes()


def compressed(mode: str, kind: str) -> bytes:
    return encoded(PICTURE.convert(mode), "TIFF", compression=kind)


PNGS = {
    "grey": (encoded(GREY, "PNG"), GREY_RGB),
    "grey of 1 bit": (png(WIDTH, HEIGHT, 1, 0, packed(BITS, 1)), BLACK_AND_WHITE),
    "grey of 4 bits": (png(WIDTH, HEIGHT, 4, 0, packed(FOUR_BITS, 4)), FOUR_BIT_GREY),
    "grey of 16 bits": (png(WIDTH, HEIGHT, 16, 0, [samples(row, ">u2") for row in DEEP]), GREY_RGB),
    "colour": (encoded(PICTURE, "PNG"), PIXELS),
    "colour of 16 bits": (png(WIDTH, HEIGHT, 16, 2, [samples(row * 257, ">u2") for row in PIXELS.astype(int)]), PIXELS),
    "grey and alpha": (encoded(Image.merge("LA", [GREY, GREY]), "PNG"), GREY_RGB),
    "grey and alpha of 16 bits": (
        png(WIDTH, HEIGHT, 16, 4, [samples(np.stack([row, row], 1), ">u2") for row in DEEP]),
        GREY_RGB,
    ),
    "alpha": (encoded(ALPHA, "PNG"), PIXELS),
    "alpha of 16 bits": (
        png(WIDTH, HEIGHT, 16, 6, [samples(row.astype(int) * 257, ">u2") for row in np.asarray(ALPHA)]),
        PIXELS,
    ),
    "palette": (encoded(PALETTE, "PNG"), COLOURS),
    "palette of 8 bits": (encoded(PALETTE, "PNG", bits=8), COLOURS),
    "palette with one transparent colour": (encoded(PALETTE, "PNG", transparency=3), COLOURS),
    "palette with alpha": (encoded(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))), COLOURS),
    "grey with a transparent level": (with_chunk(encoded(GREY, "PNG"), chunk(b"tRNS", b"\0\x80")), GREY_RGB),
    "colour with a transparent colour": (with_chunk(encoded(PICTURE, "PNG"), chunk(b"tRNS", bytes(6))), PIXELS),
    "interlaced": (interlaced_png(PIXELS), PIXELS),
    "animated": (encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]), PIXELS),
    "two animation headers": (with_chunk(encoded(PICTURE, "PNG"), chunk(b"acTL", struct.pack(">II", 0, 0))), PIXELS),
}
TIFFS = {
    "grey": (tiff(LEVELS.tobytes()), GREY_RGB),
    "white is zero": (tiff((255 - LEVELS).tobytes(), photometric=0), GREY_RGB),
    "1 bit": (tiff(b"".join(packed(BITS, 1)), bits=(1,)), BLACK_AND_WHITE),
    "1 bit, white is zero": (tiff(b"".join(packed(~BITS, 1)), bits=(1,), photometric=0), BLACK_AND_WHITE),
    "4 bits": (tiff(b"".join(packed(FOUR_BITS, 4)), bits=(4,)), FOUR_BIT_GREY),
    "12 bits": (tiff(b"".join(packed(DEEP >> 4, 12)), bits=(12,)), GREY_RGB),
    "16 bits": (tiff(samples(DEEP, "<u2"), bits=(16,)), GREY_RGB),
    "16 bits, big endian": (tiff(samples(DEEP, ">u2"), bits=(16,), order=">"), GREY_RGB),
    "16 bits, white is zero": (tiff(samples(65535 - DEEP, "<u2"), bits=(16,), photometric=0), GREY_RGB),
    "16 bits, signed": (
        tiff(samples(DEEP >> 1, "<i2"), bits=(16,), tags={339: (339, SHORT, 1, short(2))}),
        GREY_RGB,
    ),
    "16 bits, compressed": (encoded(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"), GREY_RGB),
    "32 bits": (encoded(GREY.convert("I"), "TIFF"), GREY_RGB),
    "float, 0..255": (encoded(GREY.convert("F"), "TIFF"), GREY_RGB),
    "float, 0..1": (encoded(Image.fromarray(LEVELS.astype(np.float32) / 255), "TIFF"), GREY_RGB),
    "float, white is zero": (
        tiff(samples(1 - LEVELS / 255, "<f4"), bits=(32,), photometric=0, tags={339: (339, SHORT, 1, short(3))}),
        GREY_RGB,
    ),
    "colour": (tiff(PIXELS.tobytes(), bits=(8, 8, 8), photometric=2), PIXELS),
    "colour, big endian": (tiff(PIXELS.tobytes(), bits=(8, 8, 8), photometric=2, order=">"), PIXELS),
    "colour of 16 bits": (tiff(samples(PIXELS.astype(int) * 257, "<u2"), bits=(16,) * 3, photometric=2), PIXELS),
    "alpha": (encoded(ALPHA, "TIFF"), PIXELS),
    "CMYK": (encoded(PICTURE.convert("CMYK"), "TIFF"), PIXELS),
    "YCbCr": (encoded(PICTURE.convert("YCbCr"), "TIFF"), PIXELS),
    "LAB": (encoded(PICTURE.convert("LAB"), "TIFF"), PIXELS),
    "palette": (encoded(PALETTE, "TIFF"), COLOURS),
    "several pages": (encoded(PICTURE, "TIFF", save_all=True, append_images=[GREY.resize((3, 3))]), PIXELS),
    "BigTIFF": (encoded(PICTURE, "TIFF", big_tiff=True), PIXELS),
    "planes": (
        tiff(
            np.moveaxis(PIXELS, 2, 0).tobytes(),
            bits=(8, 8, 8),
            photometric=2,
            parts=3,
            tags={284: (284, SHORT, 1, short(2))},
        ),
        PIXELS,
    ),
    "tiles": (
        tiff(
            np.concatenate([np.pad(LEVELS[:, at : at + 16], ((0, 8), (0, 0))) for at in (0, 16)]).tobytes(),
            parts=2,
            tags={322: (322, SHORT, 1, short(16)), 323: (323, SHORT, 1, short(32))},
        ),
        GREY_RGB,
    ),
    **{kind: (compressed("RGB", kind), PIXELS) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits")},
    "jpeg": (encoded(PICTURE, "TIFF", compression="jpeg"), PIXELS),
    "group4": (encoded(Image.fromarray(BITS), "TIFF", compression="group4"), BLACK_AND_WHITE),
}
BMPS = {
    "1 bit": (encoded(Image.fromarray(BITS), "BMP"), BLACK_AND_WHITE),
    "4 bits": (bmp(packed(INDICES[::-1], 4), 4, palette=BMP_PALETTE), COLOURS),
    "8 bits": (encoded(GREY, "BMP"), GREY_RGB),
    "palette": (encoded(PALETTE, "BMP"), COLOURS),
    "16 bits": (
        bmp([samples((row.astype(int) >> 3) @ [1 << 10, 1 << 5, 1], "<u2") for row in PIXELS[::-1]], 16),
        ((PIXELS.astype(int) >> 3) * 255 // 31).astype(np.uint8),
    ),
    "24 bits": (encoded(PICTURE, "BMP"), PIXELS),
    "32 bits": (encoded(ALPHA, "BMP"), PIXELS),
    "from the top": (bmp([row[:, ::-1].tobytes() for row in PIXELS], 24, height=-HEIGHT), PIXELS),
    "OS/2": (bmp([row[:, ::-1].tobytes() for row in PIXELS[::-1]], 24, core=True), PIXELS),
    "run lengths": (
        bmp(
            b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in INDICES[::-1]) + b"\0\1",
            8,
            palette=BMP_PALETTE.ljust(1024, b"\0"),
            compression=1,
        ),
        COLOURS,
    ),
}


def in_a_corner(content: bytes) -> bytes:
    """Return a GIF file with a canvas that is larger than its frame, which is at (5, 3)."""
    at = content.index(b",\0\0\0\0")
    canvas = struct.pack("<HH", WIDTH + 5, HEIGHT + 3)
    return content[:6] + canvas + content[10 : at + 1] + struct.pack("<HH", 5, 3) + content[at + 5 :]


GIFS = {
    "palette": (encoded(PALETTE, "GIF"), COLOURS),
    "grey": (encoded(GREY, "GIF"), GREY_RGB),
    "transparent": (encoded(PALETTE, "GIF", transparency=3), COLOURS),
    "animated": (encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]), COLOURS),
    "not interlaced": (encoded(PALETTE, "GIF", interlace=0), COLOURS),
}
OTHERS = {
    "WebP, lossless": (encoded(PICTURE, "WEBP", lossless=True), PIXELS),
    "WebP, alpha": (encoded(ALPHA, "WEBP", lossless=True, exact=True), PIXELS),
    "WebP, animated": (
        encoded(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[PICTURE.rotate(180)]),
        PIXELS,
    ),
}
LOSSY = {
    "JPEG": encoded(PICTURE, "JPEG"),
    "JPEG, progressive": encoded(PICTURE, "JPEG", progressive=True),
    "JPEG, restarts": encoded(PICTURE, "JPEG", restart_marker_blocks=1),
    "JPEG, CMYK": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "JPEG, several pictures": encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)]),
    "JPEG, a bad list of pictures": b"\xff\xd8\xff\xe2\0\x10MPF\0II*\0\x08\0\0\0\xff\xff"
    + encoded(PICTURE, "JPEG")[2:],
    "JPEG, a film behind it": encoded(PICTURE, "JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 5000,
    "JPEG, a preview in front": b"\xff\xd8\xff\xe3\x27\x12" + b"\xff\xda" * 5000 + encoded(PICTURE, "JPEG")[2:],
    "WebP": encoded(PICTURE, "WEBP"),
}
if can_read("AVIF"):
    LOSSY |= {
        "AVIF": encoded(PICTURE, "AVIF"),
        "AVIF, animated": encoded(PICTURE, "AVIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    }
EXACT = {
    f"{kind}, {name}": case
    for kind, cases in {"PNG": PNGS, "TIFF": TIFFS, "BMP": BMPS, "GIF": GIFS}.items()
    for name, case in cases.items()
} | OTHERS
LOSSY_INSIDE = {"TIFF, jpeg", "TIFF, CMYK", "TIFF, YCbCr", "TIFF, LAB", "JPEG, CMYK"}


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
