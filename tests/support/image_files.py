"""Image files that Pillow does not write: TIFF, PNG, BMP and EXIF metadata, built byte by byte."""

import io
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 32, 24
_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
PIXELS = np.stack([_COLUMNS * 7, _ROWS * 10, (_COLUMNS + _ROWS) * 4], axis=2).astype(np.uint8)
"""uint8 [24, 32, 3]: a smooth picture, which survives lossy compression, and which no turn leaves unchanged."""
PICTURE = Image.fromarray(PIXELS)
GREY = PICTURE.convert("L")
LEVELS = np.asarray(GREY)

BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL, FLOAT, DOUBLE = range(1, 13)
"""Types of TIFF 6.0, section 2."""
Entry = tuple[int, int, int, bytes]
"""Tag, type, count and value."""


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Return a file that Pillow writes."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int, colour: int, rows: Iterable[bytes], *chunks: bytes, interlace: int = 0
) -> bytes:
    """Return a PNG file of packed rows, with `chunks` before the pixels."""
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def interlaced_png(pixels: np.ndarray) -> bytes:
    """Return a PNG file of uint8 [H, W, 3] in the seven passes of Adam7 (PNG 1.2, 2.6)."""
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    parts = [pixels[top::down, left::right] for top, down, left, right in passes]
    rows = [row.tobytes() for part in parts if part.size for row in part]
    return png(pixels.shape[1], pixels.shape[0], 8, 2, rows, interlace=1)


def with_chunk(content: bytes, added: bytes, *, at_the_end: bool = False) -> bytes:
    """Return a PNG file with one more chunk."""
    at = len(content) - 12 if at_the_end else 33
    return content[:at] + added + content[at:]


def packed(levels: np.ndarray, bits: int) -> list[bytes]:
    """Return the rows of levels with 1, 2, 4, 8 or 12 bits each, most significant bit first."""
    places = (levels[:, :, None].astype(int) >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in places]


def directory(entries: Sequence[Entry], *, order: str = "<", at: int = 8, following: int = 0) -> bytes:
    """Return an image file directory, as of TIFF and EXIF, and the values that do not fit into it."""
    head, values, place = struct.pack(order + "H", len(entries)), b"", at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        head += struct.pack(order + "HHI", tag, kind, count)
        head += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", place + len(values))
        values += value if len(value) > 4 else b""
    return head + struct.pack(order + "I", following) + values


def tiff_header(order: str) -> bytes:
    """Return the first eight bytes of TIFF and EXIF."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)


def exif(*entries: Entry, order: str = "<") -> bytes:
    """Return EXIF metadata."""
    return b"Exif\0\0" + tiff_header(order) + directory(entries, order=order)


def short(value: int, *, order: str = "<") -> bytes:
    """Return a value of 16 bits."""
    return struct.pack(order + "H", value)


def orientation(number: int, *, order: str = "<") -> Entry:
    """Return the entry of an orientation."""
    return (0x0112, SHORT, 1, short(number, order=order))


def tiff(
    data: bytes,
    *,
    bits: tuple[int, ...] = (8,),
    photometric: int = 1,
    order: str = "<",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    parts: int = 1,
    tags: Mapping[int, Entry] | None = None,
) -> bytes:
    """Return an uncompressed TIFF file, with `tags` in place of the usual ones.

    The data consists of `parts` of one size: strips of separate planes, or tiles if the tags give their size.
    """
    is_tiled = 322 in (tags or {})

    def entry(tag: int, kind: int, *values: int) -> Entry:
        return (tag, kind, len(values), struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values))

    def entries(strip: int) -> list[Entry]:
        usual = [
            entry(256, LONG, size[0]),
            entry(257, LONG, size[1]),
            entry(258, SHORT, *bits),
            entry(259, SHORT, 1),
            entry(262, SHORT, photometric),
            entry(324 if is_tiled else 273, LONG, *(strip + part * len(data) // parts for part in range(parts))),
            entry(277, SHORT, len(bits)),
            entry(278, LONG, size[1]),
            entry(325 if is_tiled else 279, LONG, *[len(data) // parts] * parts),
        ]
        return sorted(({each[0]: each for each in usual} | dict(tags or {})).values())

    strip = 8 + len(directory(entries(0), order=order))
    return tiff_header(order) + directory(entries(strip), order=order) + data


def bmp(
    rows: Iterable[bytes] | bytes,
    bits: int,
    *,
    palette: bytes = b"",
    height: int = HEIGHT,
    compression: int = 0,
    core: bool = False,
) -> bytes:
    """Return a BMP file; rows are from the bottom to the top, unless the height is negative.

    `core` selects the header of OS/2, whose palette has three bytes per colour.
    """
    data = rows if isinstance(rows, bytes) else b"".join(row + bytes(-len(row) % 4) for row in rows)
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    header = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits) if core else info
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data
