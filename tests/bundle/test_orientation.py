"""Tests of the orientation in metadata: it is applied once, and nothing else in the metadata costs an image."""

import io
import math
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    ASCII,
    BYTE,
    DOUBLE,
    FLOAT,
    LEVELS,
    LONG,
    PICTURE,
    PIXELS,
    RATIONAL,
    SHORT,
    SRATIONAL,
    SSHORT,
    UNDEFINED,
    Entry,
    chunk,
    encoded,
    exif,
    orientation,
    short,
    tiff,
    with_chunk,
)
from PIL import Image, ImageOps

from edgecnn.bundle.decoding import decode, read_header
from edgecnn.bundle.formats import can_read

TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}
"""How a picture is turned upright, by orientation (EXIF 2.32, 4.6.4 A)."""

XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="{}"/></x:xmpmeta>'


def png_of(metadata: bytes) -> bytes:
    return with_chunk(encoded(PICTURE, "PNG"), chunk(b"eXIf", metadata.removeprefix(b"Exif\0\0")))


def jpeg_of(metadata: bytes) -> bytes:
    content = encoded(PICTURE, "JPEG", quality=95)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(metadata) + 2) + metadata + content[2:]


def webp_of(metadata: bytes) -> bytes:
    return encoded(PICTURE, "WEBP", lossless=True, exif=metadata)


def tiff_of(metadata: bytes) -> bytes:
    """Return a TIFF file with the orientation of EXIF metadata that has nothing else."""
    return tiff(PIXELS.tobytes(), bits=(8, 8, 8), photometric=2, tags={274: (274, SHORT, 1, metadata[-8:-6])})


FILES = {"PNG": png_of, "JPEG": jpeg_of, "WebP": webp_of}


def is_turned(found: Image.Image, number: int) -> bool:
    """Return whether an image is the picture, turned upright; JPEG may change it a little."""
    expected = TURNED[number](PIXELS).astype(int)
    pixels = np.asarray(found).astype(int)
    return pixels.shape == expected.shape and float(np.abs(pixels - expected).mean()) < 4


def opened_quietly(content: bytes) -> Image.Image:
    """Return a file that Pillow has opened. It warns about the header already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("number", TURNED)
@pytest.mark.parametrize("kind", [*FILES, "TIFF"])
def test_turns_a_file_upright(kind: str, number: int, order: str, tmp_path: Path):
    if kind == "TIFF":
        content = tiff_of(exif(orientation(number)))
    else:
        content = FILES[kind](exif(orientation(number, order=order), order=order))
    (tmp_path / "picture").write_bytes(content)
    found = decode(tmp_path / "picture", "RGB")
    assert is_turned(found, number)
    assert is_turned(decode(found, "RGB"), number)  # not turned again
    header = read_header(tmp_path / "picture")
    assert (header.width, header.height) == found.size
    with Image.open(tmp_path / "picture") as opened:
        assert is_turned(decode(opened, "RGB"), number)
        assert is_turned(decode(ImageOps.exif_transpose(opened), "RGB"), number)


@pytest.mark.skipif(not can_read("AVIF"), reason="Pillow has no AVIF")
@pytest.mark.parametrize("number", TURNED)
def test_turns_avif_upright(number: int):
    content = encoded(PICTURE, "AVIF", quality=95, exif=exif(orientation(number)))
    assert is_turned(decode(content, "RGB"), number)
    with Image.open(io.BytesIO(content)) as opened:
        assert is_turned(decode(opened, "RGB"), number)


@pytest.mark.parametrize("number", TURNED)
def test_turns_heif_once(number: int):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    content = encoded(PICTURE, "HEIF", quality=95, exif=exif(orientation(number)))
    found = decode(content, "RGB")
    assert is_turned(found, number)
    assert (read_header(content).width, read_header(content).height) == found.size
    with Image.open(io.BytesIO(content)) as opened:
        assert is_turned(decode(opened, "RGB"), number)


NAN = struct.pack("<d", math.nan)
ODD: dict[str, Entry] = {
    "a rational of -1/0": (0x011A, SRATIONAL, 1, struct.pack("<ii", -1, 0)),
    "a rational of 0/0": (0x011A, RATIONAL, 1, bytes(8)),
    "not a number": (0x011A, DOUBLE, 1, NAN),
    "infinite": (0x011B, FLOAT, 1, struct.pack("<f", math.inf)),
    "a negative short": (0x0100, SSHORT, 1, struct.pack("<h", -5)),
    "a byte for a text": (0x010F, BYTE, 1, b"\xff"),
    "a text for a number": (0x0128, ASCII, 4, b"two\0"),
    "a text that is not UTF-8": (0x010F, ASCII, 5, b"caf\xe9\0"),
    "no values": (0x011A, RATIONAL, 0, b""),
    "more values than bytes": (0x0131, ASCII, 2**31, b"\xff\xff\xff\x7f"),
    "an unknown type": (0x0131, 99, 1, b"abcd"),
    "a wild directory": (0x8769, LONG, 1, b"\xff\xff\xff\xff"),
    "a negative directory": (0x8825, SSHORT, 1, struct.pack("<h", -1)),
    "a directory of floats": (0x8769, DOUBLE, 1, NAN),
    "itself as a directory": (0x8769, LONG, 1, struct.pack("<I", 8)),
    "a text as XMP": (0x02BC, ASCII, 4, b"xmp\0"),
    "a number as XMP": (0x02BC, FLOAT, 1, bytes(4)),
    "a short maker note": (0x927C, UNDEFINED, 8, b"FUJIFILM"),
}


@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_costs_nothing(name: str, kind: str, number: int):
    content = FILES[kind](exif(*sorted([orientation(number), ODD[name]])))
    assert is_turned(decode(content, "RGB"), number)
    with opened_quietly(content) as opened:
        assert is_turned(decode(opened, "RGB"), number)
    assert read_header(content).width == (24 if number == 6 else 32)


@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("name", [name for name in ODD if ODD[name][0] != 0x0100])
def test_an_odd_value_in_a_tiff_costs_nothing(name: str, number: int):
    content = tiff(LEVELS.tobytes(), tags={274: (274, SHORT, 1, short(number)), ODD[name][0]: ODD[name]})
    assert np.array_equal(decode(content, "L"), TURNED[number](LEVELS))
    with opened_quietly(content) as opened:
        assert np.array_equal(decode(opened, "L"), TURNED[number](LEVELS))


@pytest.mark.skipif(not can_read("AVIF"), reason="Pillow has no AVIF")
@pytest.mark.parametrize(
    "odd", [b"not TIFF at all", exif(ODD["a rational of -1/0"])[6:], exif(ODD["not a number"])[6:]]
)
def test_an_odd_value_in_avif_costs_nothing(odd: bytes):
    text = b"x" * 200
    content = encoded(PICTURE, "AVIF", quality=95, exif=exif(orientation(6), (0x010E, ASCII, len(text), text)))
    at, end = content.index(b"II*\0"), content.index(text) + len(text)
    assert is_turned(decode(content[:at] + odd.ljust(end - at, b"\0") + content[end:], "RGB"), 6)


@pytest.mark.parametrize(
    "metadata",
    [b"", b"Exif\0\0", b"garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", exif()[:9]],
)
@pytest.mark.parametrize("kind", FILES)
def test_unreadable_metadata_costs_nothing(kind: str, metadata: bytes):
    assert is_turned(decode(FILES[kind](metadata), "RGB"), 1)


@pytest.mark.parametrize(
    ("entry", "number"),
    [
        ((0x0112, BYTE, 1, b"\6"), 6),
        ((0x0112, UNDEFINED, 1, b"\6"), 6),
        ((0x0112, ASCII, 2, b"6\0"), 6),
        ((0x0112, LONG, 1, struct.pack("<I", 6)), 6),
        ((0x0112, FLOAT, 1, struct.pack("<f", 6)), 6),
        ((0x0112, RATIONAL, 1, struct.pack("<II", 6, 1)), 6),
        ((0x0112, SHORT, 2, struct.pack("<HH", 6, 0)), 6),
        ((0x0112, SHORT, 1, short(0)), 1),
        ((0x0112, SHORT, 1, short(9)), 1),
        ((0x0112, SHORT, 1, short(65535)), 1),
        ((0x0112, SSHORT, 1, struct.pack("<h", -6)), 1),
        ((0x0112, FLOAT, 1, struct.pack("<f", 6.5)), 1),
        ((0x0112, FLOAT, 1, struct.pack("<f", math.nan)), 1),
        ((0x0112, ASCII, 11, b"Horizontal\0"), 1),
        ((0x0112, ASCII, 3, b"66\0"), 1),
        ((0x0112, UNDEFINED, 3, b"\6\1\0"), 1),
    ],
)
def test_takes_the_plain_integer(entry: Entry, number: int):
    assert is_turned(decode(png_of(exif(entry)), "RGB"), number)


@pytest.mark.parametrize(
    ("value", "number"), [(6, 6), ((6,), 6), (6.0, 6), ("6", 6), (b"\6", 6), (0, 1), (9, 1), ((6, 3), 1), (None, 1)]
)
def test_takes_the_integer_of_an_object(value: object, number: int):
    picture = PICTURE.copy()
    picture.getexif()[0x0112] = value
    assert is_turned(decode(picture, "RGB"), number)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_reads_xmp(number: int):
    xmp = XMP.format(number).encode()
    itxt = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert is_turned(decode(with_chunk(encoded(PICTURE, "PNG"), itxt), "RGB"), number)
    assert is_turned(decode(encoded(PICTURE, "JPEG", quality=95, xmp=xmp), "RGB"), number)
    assert is_turned(decode(encoded(PICTURE, "WEBP", lossless=True, xmp=xmp), "RGB"), number)
    in_tiff = tiff(LEVELS.tobytes(), tags={700: (700, BYTE, len(xmp), xmp)})
    assert np.array_equal(decode(in_tiff, "L"), TURNED[number](LEVELS))


def test_reads_xmp_beside_unreadable_exif():
    content = encoded(PICTURE, "JPEG", quality=95, xmp=XMP.format(6).encode(), exif=b"Exif\0\0garbage")
    assert is_turned(decode(content, "RGB"), 6)
    assert read_header(content).width == 24


def test_exif_comes_before_xmp():
    content = encoded(PICTURE, "JPEG", quality=95, xmp=XMP.format(6).encode(), exif=exif(orientation(3)))
    assert is_turned(decode(content, "RGB"), 3)


def test_reads_the_exif_profile_of_imagemagick():
    metadata = exif(orientation(6)).hex().encode()
    profile = b"Raw profile type exif\0" + b"\nexif\n%8d\n" % (len(metadata) // 2) + metadata + b"\n"
    assert is_turned(decode(with_chunk(encoded(PICTURE, "PNG"), chunk(b"tEXt", profile)), "RGB"), 6)


@pytest.mark.parametrize("number", [1, 6])
def test_turns_an_object_by_its_info(number: int):
    for key, value in {
        "exif": exif(orientation(number)),
        "xmp": XMP.format(number).encode(),
        "XML:com.adobe.xmp": XMP.format(number),
    }.items():
        picture = PICTURE.copy()
        picture.info[key] = value
        assert is_turned(decode(picture, "RGB"), number)
        assert picture.info == {key: value}
        assert picture.size == PICTURE.size


@pytest.mark.parametrize("value", [None, 3, "text", {}, Image.Exif(), b"Exif\0\0garbage"])
@pytest.mark.parametrize("key", ["exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"])
def test_odd_info_of_an_object_costs_nothing(key: str, value: object):
    picture = PICTURE.copy()
    picture.info[key] = value
    assert is_turned(decode(picture, "RGB"), 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_turns_16_bit_samples(mode: str):
    content = with_chunk(
        encoded(Image.fromarray(LEVELS.astype(np.uint16) * 257), "PNG"), chunk(b"eXIf", exif(orientation(6))[6:])
    )
    assert np.array_equal(np.atleast_3d(np.asarray(decode(content, mode)))[:, :, 0], TURNED[6](LEVELS))  # type: ignore[arg-type]
