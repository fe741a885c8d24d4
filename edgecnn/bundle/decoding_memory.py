"""Estimate the memory that decoding and preprocessing one image take, from its header.

An estimate is an upper bound of the memory in use at one time: Pillow's pictures, the buffers of a format's decoder,
and the arrays of `levels` and `opencv`. Comments name the source of each factor, and a test compares the estimates with
peaks of the resident set. The bytes of the file itself are not included.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import ImageFile

from edgecnn.bundle.orientation import orientation_of

_FIXED_BYTES = 48 << 10
"""Tables and buffers of any decoder."""
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes of a pixel in Pillow (src/libImaging/Storage.c); 4 in all other modes."""
_LEVELS_BYTES = {"I": 9, "F": 13}
"""Bytes of a pixel that `levels` allocates for 32-bit samples: Pillow's `tobytes` joins chunks, or NumPy has samples
and temporary arrays."""
_DEEP_BYTES = 6
"""The same for 16-bit samples."""
_FIRST = {"La", "RGBa", "LAB"}
"""Modes that `levels` converts twice."""
_KEPT_BYTES, _DECODER_BYTES = {"WebP": 8, "AVIF": 8, "HEIF": 8}, {"WebP": 12, "AVIF": 14, "HEIF": 10}
"""Bytes of a pixel that a decoder keeps as long as the picture is open, and while it decodes. WebP: two canvases of
RGBA (libwebp, src/demux/anim_decode.c) and the copied frame (Pillow, src/_webp.c). AVIF and HEIF: planes of up to 16
bits, RGBA, and its copy (Pillow, src/_avif.c; pillow-heif, _pillow_heif.c)."""
_TURNING = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Metadata that may contain the orientation."""
_READ_FROM_PIXELS = 1 << 18
"""Only of larger images the orientation is read for the estimate, because it takes time; others may be turned."""
_ROWS, _TILE_WIDTH, _TILE_LENGTH, _BITS, _SAMPLES = 278, 322, 323, 258, 277  # tags of TIFF 6.0
_SMALL_PIXELS, _SMALL_BYTES = 1 << 14, 24
"""Images of the usual formats up to this number of pixels have one bound of bytes for each, which is faster."""
_USUAL = {"JPEG", "PNG", "BMP", "GIF"}
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0, "box": 0.5, "hamming": 1.0}
"""Half the width of a filter of Pillow in source pixels (src/libImaging/Resample.c)."""


@dataclass(slots=True)
class DecodingNeed:
    """What decoding one image needs. It is not frozen, because creating a frozen dataclass takes longer.

    Attributes:
        pixels: width × height in the file.
        memory_bytes: upper bound of the memory for decoding, and for preprocessing if it follows.
    """

    pixels: int
    memory_bytes: int


Admit = Callable[[DecodingNeed], None]
"""Takes what an image needs, before memory for its pixels is allocated. It raises an `ImageError` to refuse."""
Preparing = Callable[[int, int], int]
"""Takes width and height of a decoded image, returns the peak of its preprocessing in bytes, with this image."""


def need_of(picture: ImageFile.ImageFile, found: str, mode: str, preparing: Preparing) -> DecodingNeed:
    """Return what an opened image needs to be decoded to `mode` and preprocessed; `found` is the name of its format."""
    width, height = picture.size
    pixels = width * height
    if pixels <= _SMALL_PIXELS and found in _USUAL:
        small = _SMALL_BYTES * (pixels + width + height)
        prepared = preparing(width, height)
        if width != height:
            prepared = max(prepared, preparing(height, width))
        return DecodingNeed(pixels, max(small, prepared) + _FIXED_BYTES)
    source = picture.mode
    turns = _may_turn(picture, found, pixels)
    loaded, result = picture_bytes(source, width, height), picture_bytes(mode, width, height)
    held = loaded + _KEPT_BYTES.get(found, 0) * pixels
    peak = loaded + _decoder_bytes(picture, found)
    if turns and found == "TIFF":  # Pillow turns it while it loads
        peak, turns = max(peak, 2 * loaded), False
    if source in _LEVELS_BYTES or source.startswith("I;16"):
        peak = max(peak, held + _LEVELS_BYTES.get(source, _DEEP_BYTES) * pixels)
        held, source = held + pixels, "L"
    is_copied = "transparency" in picture.info
    converted = result if source != mode or is_copied else 0
    between = loaded if source != mode and (is_copied or source in _FIRST) else 0
    held += converted
    peak = max(peak, held + max(between, picture_bytes(mode, height, width) if turns else 0))
    peak = max(peak, preparing(width, height), preparing(height, width) if turns else 0)
    return DecodingNeed(pixels, peak + _FIXED_BYTES)


def picture_bytes(mode: str, width: int, height: int) -> int:
    """Return the memory of a Pillow image: rows of whole words, and a pointer to each (src/libImaging/Storage.c)."""
    return height * ((width * _PIXEL_BYTES.get(mode, 4) + 3 & -4) + 8)


def pillow_resize_bytes(mode: str, old: tuple[int, int], new: tuple[int, int], interpolation: str) -> int:
    """Return the memory that Pillow's `resize` takes besides its source; sizes are width and height.

    It has weights for each axis in float64, the result of the first pass, and that of the second. RGBA is multiplied
    with alpha first, and divided afterwards (src/libImaging/Resample.c, src/PIL/Image.py; order of passes measured).
    """
    (width, height), (new_width, new_height) = old, new
    result = picture_bytes(mode, new_width, new_height)
    if interpolation not in _SUPPORT:
        return result
    weights = 0
    for before, after in ((width, new_width), (height, new_height)):
        weights += 8 * after * (2 * math.ceil(_SUPPORT[interpolation] * max(before / after, 1.0)) + 1)
    between = 0
    if width != new_width and height != new_height:
        is_vertical_first = new_width > width and new_height < height
        between = (
            picture_bytes(mode, width, new_height) if is_vertical_first else picture_bytes(mode, new_width, height)
        )
    alpha = picture_bytes(mode, width, height) + result if mode == "RGBA" else 0
    return weights + between + result + alpha


def opencv_resize_bytes(channels: int, old: tuple[int, int], new: tuple[int, int], *, is_area: bool) -> int:
    """Return the memory that `opencv` takes besides its source; sizes are width and height.

    It has the array of the source's pixels, and int32 products of the result. If areas do not consist of whole pixels,
    it also has their shares, and float32 sums of the rows.
    """
    (width, height), (new_width, new_height) = old, new
    pixels = channels * width * height
    taken = 16 * channels * new_width * new_height
    is_whole = width % new_width == 0 and height % new_height == 0
    if is_area and not is_whole and new_width <= width and new_height <= height:
        taken += 48 * (width + height) + 13 * channels * new_width * height
    return pixels + max(pixels, taken)


def array_bytes(mode: str, channels: int, width: int, height: int) -> int:
    """Return the memory of a picture and of its array, which Pillow joins from a list of chunks."""
    return picture_bytes(mode, width, height) + 2 * channels * width * height


def _may_turn(picture: ImageFile.ImageFile, found: str, pixels: int) -> bool:
    """Return whether an image is turned upright, as far as this is known before its pixels are loaded."""
    if not any(key in picture.info for key in _TURNING) and found != "TIFF":
        # In a PNG, metadata may follow the pixels.
        return found == "PNG" and b"eXIf" in _content(picture)
    # Of a PNG, Pillow would load the pixels to look for more metadata.
    return pixels < _READ_FROM_PIXELS or found == "PNG" or orientation_of(picture) != 1


def _content(picture: ImageFile.ImageFile) -> bytes:
    assert picture.fp is not None
    place = picture.fp.tell()
    picture.fp.seek(0)
    content = picture.fp.read()
    picture.fp.seek(place)
    return content


def _decoder_bytes(picture: ImageFile.ImageFile, found: str) -> int:
    """Return the memory of a format's decoder, besides the picture that it fills."""
    width, height = picture.size
    if found == "JPEG":
        return _coefficient_bytes(picture)
    if found == "TIFF":
        return _part_bytes(picture)
    if found == "BMP" and picture.tile[0][0] == "bmp_rle":  # a growing `bytearray`, and a copy of it
        return 3 * width * height
    # PNG: two rows of up to 64 bits a pixel (Pillow, src/libImaging/ZipDecode.c).
    return _DECODER_BYTES.get(found, 0) * width * height + 16 * width


def _coefficient_bytes(picture: Any) -> int:
    """Return the memory of the coefficients of a JPEG whose scans do not contain whole pixels.

    libjpeg then keeps all of them, 16 bits each, in blocks of 8 × 8, up to whole units of all components
    (jdcoefct.c, `jinit_d_coef_controller`).
    """
    if "progressive" not in picture.info and not _has_partial_scan(picture):
        return 0
    width, height = picture.size
    across = max(each[1] for each in picture.layer)
    down = max(each[2] for each in picture.layer)
    units = math.ceil(width / (8 * across)) * math.ceil(height / (8 * down))
    return sum(128 * units * each[1] * each[2] for each in picture.layer)


def _has_partial_scan(picture: Any) -> bool:
    """Return whether the first scan of a JPEG, whose header was just read, has only some of the components."""
    place = picture.fp.tell()
    for components in range(1, picture.layers):
        picture.fp.seek(max(place - 8 - 2 * components, 0))
        if picture.fp.read(5) == b"\xff\xda\0" + bytes([6 + 2 * components, components]):
            picture.fp.seek(place)
            return True
    picture.fp.seek(place)
    return False


def _part_bytes(picture: Any) -> int:
    """Return the memory of a decompressed strip or tile of a TIFF, and of libtiff's copy in other samples."""
    if picture.tile and picture.tile[0][0] != "libtiff":
        return 0
    tags, (width, height) = picture.tag_v2, picture.size
    bits = int(max(tags.get(_BITS, (1,)))) * max(int(tags.get(_SAMPLES, 1)), 1)
    columns = int(tags.get(_TILE_WIDTH, width))
    rows = int(tags.get(_TILE_LENGTH, min(int(tags.get(_ROWS, height)), height)))
    return 2 * columns * rows * max(bits // 8, 4)
