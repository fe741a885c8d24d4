"""Estimates of memory from an image's header: upper bounds that are at most twice the real peak."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import decoding_peak
import numpy as np
import pytest
from image_files import LONG, bmp, chunk, encoded, interlaced_png, png, tiff, with_chunk
from PIL import Image

from edgecnn.bundle.decoding_memory import DecodingNeed
from edgecnn.bundle.formats import can_read
from edgecnn.bundle.parsing import text_bytes
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import ImageError
from edgecnn.host.child import child_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/clear_refs")
Make = Callable[[int, int], bytes]


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return a picture that is not of one colour, but small as a file."""
    rows, columns = np.ogrid[0:height, 0:width]
    levels = ((rows * 3) ^ (columns * 5)).astype(np.uint8)
    grey = Image.fromarray(levels)
    if mode == "P":
        return Image.merge("RGB", [grey] * 3).quantize(16)
    if mode == "I;16":
        return Image.fromarray(levels.astype(np.uint16) * 257)
    return Image.merge("RGB", [grey, grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT), grey]).convert(mode)


def saved(kind: str, mode: str = "RGB", **options: object) -> Make:
    if kind == "PNG":
        options = {"compress_level": 1} | options
    return lambda width, height: encoded(picture(width, height, mode), kind, **options)


def turned(kind: str, **options: object) -> Make:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(kind, exif=exif, **options)


def deep_png(colour: int, channels: int) -> Make:
    """Return a PNG file of 16 bits."""

    def make(width: int, height: int) -> bytes:
        row = (np.arange(width * channels) * 77).astype(">u2").tobytes()
        return png(width, height, 16, colour, [row] * height)

    return make


def turned_behind(width: int, height: int) -> bytes:
    """Return a PNG file with its orientation behind the pixels."""
    file = turned("PNG")(width, height)
    at = file.index(b"eXIf") - 4
    size = 12 + int.from_bytes(file[at : at + 4], "big")
    return file[:at] + file[at + size : -12] + file[at : at + size] + file[-12:]


def separate_scans(width: int, height: int) -> bytes:
    """Return a baseline JPEG with one scan for each component: that of a grey picture, three times."""
    file = encoded(picture(width, height, "L"), "JPEG")
    frame, scan = file.index(b"\xff\xc0"), file.index(b"\xff\xda")
    size = 2 + int.from_bytes(file[frame + 2 : frame + 4], "big")
    start = file[frame + 4 : frame + 9]
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    header = b"\xff\xc0" + struct.pack(">H", 8 + len(components)) + start + b"\3" + components
    scans = b"".join(b"\xff\xda\0\x08\1" + bytes([number, 0, 0, 63, 0]) + file[scan + 10 : -2] for number in (1, 2, 3))
    return file[:frame] + header + file[frame + size : scan] + scans + b"\xff\xd9"


def run_lengths(width: int, height: int) -> bytes:
    """Return a BMP file of run lengths."""
    row = b"\xff\3" * (width // 255) + (bytes([width % 255, 5]) if width % 255 else b"") + b"\0\0"
    file = bytearray(bmp(row * height + b"\0\1", 8, palette=bytes(1024), compression=1, height=height))
    file[18:22] = struct.pack("<i", width)
    return bytes(file)


def one_strip(mode: str, compression: str) -> Make:
    return saved("TIFF", mode, compression=compression, strip_size=1 << 30)


def one_tile(width: int, height: int) -> bytes:
    """Return a TIFF file whose tile is larger than its picture."""
    side = 16 * (max(width, height) // 16 + 1)
    tags = {322: (322, LONG, 1, struct.pack("<I", side)), 323: (323, LONG, 1, struct.pack("<I", side))}
    return tiff(bytes(side * side), size=(width, height), tags=tags)


JPEGS = {
    f"JPEG {mode}, {name}, subsampling {sampling}": saved("JPEG", mode, progressive=name != "baseline", **chosen)
    for mode in ("L", "RGB", "CMYK")
    for name in ("baseline", "progressive")
    for sampling, chosen in (
        {0: {"subsampling": 0}, 1: {"subsampling": 1}, 2: {}} if mode == "RGB" else {0: {}}
    ).items()
}
FILES: dict[str, Make] = {
    **JPEGS,
    "JPEG, separate scans": separate_scans,
    "JPEG, turned": turned("JPEG", progressive=True),
    **{f"PNG {mode}": saved("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "PNG, transparent colour": saved("PNG", "P", transparency=3),
    "PNG, colour key": saved("PNG", "RGB", transparency=(1, 2, 3)),
    "PNG, interlaced": lambda width, height: interlaced_png(np.asarray(picture(width, height))),
    "PNG, turned": turned("PNG", compress_level=1),
    "PNG, turned behind": turned_behind,
    "PNG, 16 bits, grey": deep_png(0, 1),
    "PNG, 16 bits, colour": deep_png(2, 3),
    "PNG, 16 bits, grey and alpha": deep_png(4, 2),
    "PNG, 16 bits, alpha": deep_png(6, 4),
    "BMP": saved("BMP"),
    "BMP, palette": saved("BMP", "P"),
    "BMP, run lengths": run_lengths,
    "GIF": saved("GIF", "P"),
    "GIF, transparent": saved("GIF", "P", transparency=3),
    "WebP": saved("WEBP", method=0),
    "WebP, lossless": saved("WEBP", "RGBA", lossless=True, method=0, quality=0),
    **{f"TIFF {mode}": saved("TIFF", mode) for mode in ("1", "CMYK", "F", "I", "I;16", "LAB", "RGBA", "YCbCr")},
    **{f"TIFF, {kind}": saved("TIFF", compression=kind) for kind in ("jpeg", "tiff_lzw", "tiff_adobe_deflate")},
    **{f"TIFF, one strip of {kind}": one_strip("RGB", kind) for kind in ("jpeg", "tiff_lzw", "packbits")},
    "TIFF, one strip of 16 bits": one_strip("I;16", "tiff_lzw"),
    "TIFF, one tile": one_tile,
    "TIFF, turned": turned("TIFF", compression="tiff_lzw"),
}
if can_read("AVIF"):
    FILES |= {f"AVIF {kind}": saved("AVIF", speed=10, subsampling=kind) for kind in ("4:2:0", "4:4:4")}
RGB = ", None, (0.0,) * 3, (1.0,) * 3)"
SMALL = f"Preprocessing('RGB', Resize((224, 224)){RGB}"


def peaks(folder: Path, make: Make, size: tuple[int, int], expression: str) -> tuple[int, int]:
    """Return the estimate and the real peak for a large file, in bytes."""
    small, large = folder / "small", folder / "large"
    small.write_bytes(make(64, 48))
    large.write_bytes(make(*size))
    command = [sys.executable, decoding_peak.__file__, str(small), str(large), expression]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    estimate, peak = map(int, done.stdout.split())
    return estimate, peak


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_bounds_the_peak_of_a_kind_of_file(name: str, tmp_path: Path):
    estimate, peak = peaks(tmp_path, FILES[name], (3200, 2600), SMALL)
    assert 0.95 * peak <= estimate <= 2.0 * peak + (1 << 20), (estimate / 2**20, peak / 2**20)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("name", ["JPEG CMYK, progressive, subsampling 0", "PNG LA", "PNG, 16 bits, grey", "TIFF F"])
def test_bounds_the_peak_of_other_modes(name: str, mode: str, tmp_path: Path):
    channels = {"L": 1, "RGBA": 4}[mode]
    expression = f"Preprocessing('{mode}', Resize((224, 224)), None, (0.0,) * {channels}, (1.0,) * {channels})"
    estimate, peak = peaks(tmp_path, FILES[name], (3200, 2600), expression)
    assert 0.95 * peak <= estimate <= 2.0 * peak + (1 << 20), (estimate / 2**20, peak / 2**20)


SHAPES = {
    "narrow": ((2, 500_000), SMALL),
    "large between both passes": ((50, 20_000), f"Preprocessing('RGB', Resize((600, 40)){RGB}"),
    "grows after the first pass": ((3000, 2000), f"Preprocessing('RGB', Resize((2500, 1500)){RGB}"),
    "wide": ((2_000_000, 2), SMALL),
    "wide, lanczos": ((1_000_000, 2), f"Preprocessing('RGB', Resize((64, 64), 'lanczos'){RGB}"),
    "scales up": ((100, 10_000), f"Preprocessing('RGB', Resize((600,)){RGB}"),
    "kept": ((2000, 3000), f"Preprocessing('RGB', None{RGB}"),
    "cropped": ((3000, 2000), "Preprocessing('RGB', None, (1500, 1500), (0.0,) * 3, (1.0,) * 3)"),
    "padded to a huge one": ((2, 60_000), "Preprocessing('RGB', None, (224, 224), (0.0,) * 3, (1.0,) * 3)"),
    "letterbox": ((4000, 3000), f"Preprocessing('RGB', Resize((1000, 2000), fit='letterbox'){RGB}"),
    "OpenCV bilinear": ((4000, 3000), f"Preprocessing('RGB', Resize((1200, 1700), 'opencv-bilinear'){RGB}"),
    "OpenCV area": ((4000, 3000), f"Preprocessing('RGB', Resize((700, 1100), 'opencv-area'){RGB}"),
    "OpenCV area, blocks": ((4000, 3000), f"Preprocessing('RGB', Resize((750, 1000), 'opencv-area'){RGB}"),
    "OpenCV area, wide": ((300_001, 30), f"Preprocessing('RGB', Resize((20, 64), 'opencv-area'){RGB}"),
    "nearest": ((4000, 3000), f"Preprocessing('RGB', Resize((2000, 1500), 'nearest'){RGB}"),
    "alpha": ((3000, 2000), "Preprocessing('RGBA', Resize((700, 900)), None, (0.0,) * 4, (1.0,) * 4)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_bounds_the_peak_of_preprocessing(name: str, tmp_path: Path):
    size, expression = SHAPES[name]
    estimate, peak = peaks(tmp_path, saved("PNG"), size, expression)
    assert 0.95 * peak <= estimate <= 2.0 * peak + (2 << 20), (estimate / 2**20, peak / 2**20)


class NotAdmitted(ImageError):
    """Refuses an image."""


def test_refuses_before_pixels_are_loaded():
    found: list[DecodingNeed] = []

    def refuse(need: DecodingNeed) -> None:
        found.append(need)
        raise NotAdmitted("not admitted")

    preprocessing = Preprocessing("RGB", None, None, (0.0,) * 3, (1.0,) * 3)
    truncated = encoded(Image.new("RGB", (300, 200)), "JPEG")[:700]  # its pixels cannot be decoded
    with pytest.raises(NotAdmitted, match=r"^not admitted$"):
        preprocessing.image(truncated, admit=refuse)
    assert [need.pixels for need in found] == [60_000]
    assert 600_000 < found[0].memory_bytes < 700_000


def test_admission_changes_no_pixel():
    preprocessing = Preprocessing("RGB", Resize((20, 20)), None, (0.0,) * 3, (1.0,) * 3)
    for make in (turned_behind, separate_scans, saved("TIFF", "I;16")):
        file = make(40, 30)
        assert np.array_equal(preprocessing.image(file, admit=lambda _: None), preprocessing.image(file))


def test_bounds_compressed_texts():
    plain = encoded(Image.new("L", (4, 4)), "PNG")
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(900_000)))
    assert text_bytes(plain) == 0
    assert 900_000 <= text_bytes(with_chunk(plain, text)) <= 1 << 20
    assert text_bytes(with_chunk(plain, text * 100)) == 64 << 20
    assert text_bytes(with_chunk(plain, text)[:60]) <= 1 << 20  # truncated
