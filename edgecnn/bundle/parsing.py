"""Open an encoded image with the one parser of Pillow for its signature, and translate the errors of that parser.

The size in the header is checked before memory is allocated for pixels.
"""

import contextlib
import importlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TypeVar, cast

from PIL import Image, ImageFile

from edgecnn.bundle.formats import SIGNATURE_BYTES, can_read, identify, listed, needed
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.errors import ImageError, ImageTooLarge, UnknownFormat

Result = TypeVar("Result")

MAX_SCANS = 200
"""Largest number of scans of a JPEG. Encoders write about ten."""
_MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Largest product of pixels and scans of a JPEG: about a second of decoding."""
_MAX_SEGMENTS = 10_000
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""Beginning of a segment, or the end. Stuffed bytes and restart markers belong to the data of a scan."""

_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
_LONGEST_TEXT, _MOST_TEXT = 1 << 20, 64 << 20
_PARSERS = {
    # Not `jpeg_factory`: the other pictures of an MPO file are never read, and a bad list of them does not matter.
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
_UNSUPPORTED = re.compile("unsupported|not supported|cannot handle|not yet|unknown (pixel|data|filter)|unrecogni", re.I)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, its errors go to stderr
_PILLOWS = ("ignore", None, Warning, re.compile(r"PIL\.|pillow_heif"), 0)

_KIND, _PREVIEW, _SUBDIRECTORIES, _DNG_VERSION = 254, 1, 330, 50706  # tags of TIFF 6.0 and DNG 1.7
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
"""Entry of the EXIF metadata in the list of items (ISO/IEC 14496-12, 8.11.6)."""


def parsed(
    file: IO[bytes],
    name: str,
    *,
    max_pixels: int,
    formats: Sequence[str],
    use: Callable[[ImageFile.ImageFile, str], Result],
) -> Result:
    """Open an image file, check its header, and return `use(picture, format)`. The pixels are not loaded before.

    Raises:
        UnknownFormat: the file is not an image of `formats`.
        ImageTooLarge: it has more than `max_pixels` pixels.
        ImageError: it is damaged, or has a feature that Pillow does not support.
    """
    found = _format_of(file, name, formats)
    with translated(name, max_pixels), quiet():
        try:
            return _used(file, found, name, max_pixels, use)
        except ValueError:  # perhaps a text or a colour profile that is too long for Pillow, before or after the pixels
            if found != "PNG":
                raise
            file.seek(0)
            return _used(io.BytesIO(_without_texts(file.read())), found, name, max_pixels, use)


def check_scans(picture: ImageFile.ImageFile, name: str) -> None:
    """Reject a JPEG with too many scans: a small file can take minutes to decode.

    Raises:
        ImageError: there are more than `MAX_SCANS`, or fewer for a large picture.
    """
    assert picture.fp is not None
    place = picture.fp.tell()
    picture.fp.seek(0)
    content = picture.fp.read()
    picture.fp.seek(place)
    most = min(MAX_SCANS, max(_MAX_SCANNED_PIXELS // (picture.width * picture.height), 20))
    # Metadata and what cameras append contain the marker's bytes as well; then the segments are walked through.
    if content.count(_SCAN) > most and (scans := _scans(content)) > most:
        raise ImageError(f"{name} has {scans} JPEG scans, expected at most {most} for its size: save it again")


@contextlib.contextmanager
def translated(name: str, max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Convert what Pillow raises for a bad image to an `ImageError` of one line.

    Its parsers raise many types for damaged files: OSError, SyntaxError, ValueError, KeyError, struct.error ...
    """
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError:  # some parsers check the size while they read the header
        own = 2 * (Image.MAX_IMAGE_PIXELS or max_pixels)
        limit = f"{own:,} pixels (twice PIL.Image.MAX_IMAGE_PIXELS)" if own < max_pixels else f"{max_pixels:,} pixels"
        raise _too_large(name, limit, "more") from None
    except MemoryError:
        raise ImageError(f"{name} cannot be decoded: not enough memory; scale it down") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise ImageError(f"cannot read {name}: {error.strerror}") from None
        text = " ".join(str(error).split()) or type(error).__name__
        if text.isdecimal() and KeyError in {type(error), type(error.__cause__)}:  # it is in no table of Pillow
            text = f"unsupported value {text}"
        if _UNSUPPORTED.search(text):
            raise ImageError(f"{name} cannot be decoded ({text}): save it as PNG or 8-bit JPEG") from None
        raise ImageError(f"{name} is damaged: {text}") from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide Pillow's warnings about odd metadata. Unlike `catch_warnings`, this works in several threads."""
    filters = cast("list[object]", warnings.filters)
    filters.insert(0, _PILLOWS)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # another thread has replaced the list
            filters.remove(_PILLOWS)


def _format_of(file: IO[bytes], name: str, formats: Sequence[str]) -> str:
    """Return the format of a file, by its signature."""
    found = identify(file.read(SIGNATURE_BYTES))
    file.seek(0)
    if found is None or found not in formats:
        accepted = listed([each for each in formats if can_read(each)] or formats)
        raise UnknownFormat(
            f"{name} is not a {accepted} image" if found is None else f"{name} is a {found} image, expected {accepted}"
        )
    if not can_read(found):
        raise UnknownFormat(f"{name} is a {found} image, which needs {needed(found)}")
    return found


def _used(
    file: IO[bytes], found: str, name: str, max_pixels: int, use: Callable[[ImageFile.ImageFile, str], Result]
) -> Result:
    if found == "AVIF":  # Pillow parses its EXIF metadata without care; the orientation is stored elsewhere
        file = io.BytesIO(_EXIF_ITEM.sub(rb"\1none", file.read()))
    module, parser = _PARSERS[found]
    with getattr(importlib.import_module(module), parser)(file, "") as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise _too_large(name, f"{max_pixels:,} pixels", f"{width} × {height}")
        if found == "TIFF" and _is_raw(picture.tag_v2):
            raise UnknownFormat(f"{name} is a camera's raw file with a small preview: convert it to JPEG")
        return use(picture, found)


def _too_large(name: str, limit: str, found: str) -> ImageTooLarge:
    return ImageTooLarge(f"{name} is too large: expected at most {limit}, found {found}; scale it down")


def _is_raw(tags: Mapping[int, object]) -> bool:
    """Return whether a TIFF file has its image in a subdirectory, and a preview in its place, as DNG, NEF and ARW."""
    kind = tags.get(_KIND)
    return _DNG_VERSION in tags or (_SUBDIRECTORIES in tags and isinstance(kind, int) and bool(kind & _PREVIEW))


def _without_texts(content: bytes) -> bytes:
    """Return a PNG file without its colour profile and its texts. Those that can hold the orientation stay."""
    kept, at = [content[:8]], 8
    while at < len(content):  # a chunk: size, type, content, CRC
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        is_text = content[at + 4 : at + 8] in {b"iCCP", b"tEXt", b"zTXt", b"iTXt"}
        if not is_text or content.startswith((b"XML:com.adobe.xmp\0\0", b"Raw profile type exif\0"), at + 8):
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def text_bytes(content: bytes) -> int:
    """Return an upper bound of the memory for the compressed texts of a PNG file, which Pillow reads with its header.

    deflate compresses at most 1032 : 1 (zlib, "Technical Details"). Pillow limits each text and their sum
    (PngImagePlugin, `MAX_TEXT_CHUNK` and `MAX_TEXT_MEMORY`).
    """
    if not any(kind in content for kind in _COMPRESSED):
        return 0
    size, at = 0, 8
    while at < len(content) and size < _MOST_TEXT:
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in _COMPRESSED:
            size += min(_LONGEST_TEXT, 1032 * length)
        at += 12 + length
    return min(size, _MOST_TEXT)


def _scans(content: bytes) -> int:
    """Return the number of scans of the first picture in a JPEG file (ITU-T T.81, B.1.1.2 and B.1.1.5)."""
    scans, at = 0, 2
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(content, at)
        if marker is None or marker[0].endswith(_END):
            return scans
        scans += marker[0].endswith(_SCAN)
        at = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return _MAX_SEGMENTS
