"""Decode an image file, bytes, a Pillow image or an array to pixels of one colour mode.

Only JPEG, PNG and BMP are supported, to reduce the attack surface. Unusual images are converted in the same way in
training and on the device:

* EXIF orientation is applied, then dropped;
* alpha is dropped, not blended (as torchvision's loader does), except in mode RGBA; a palette is resolved;
* CMYK becomes RGB as Pillow converts it, without colour management; ICC profiles are ignored;
* 16-bit samples keep their upper byte.
"""

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.errors import ImageError, ImageTooLarge

Mode = Literal["L", "RGB", "RGBA"]
CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3, "RGBA": 4}
ImageLike = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray

FORMATS = ("JPEG", "PNG", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
# Errors of Pillow's parsers on damaged files; OSError is "image file is truncated".
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error)
MAX_SCANS = 200
"""Largest number of scans of a progressive JPEG. Encoders write about ten."""
_MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Largest product of pixels and scans of a progressive JPEG: about a second of decoding."""


def decode(image: ImageLike, mode: Mode, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode one image.

    Args:
        image: a path, an encoded file's bytes, a Pillow image, or an array: uint8 [H, W], [H, W, 1] or [H, W, 3],
            and [H, W, 4] for RGBA.
        mode: `L` for one channel (ITU-R 601-2 luma), `RGB` for three, `RGBA` for four.
        max_pixels: largest number of pixels; it is checked in the header, before memory is allocated.

    Returns:
        A Pillow image of that mode, upright.

    Raises:
        ImageError: the image cannot be decoded; the message names the file.
        ImageTooLarge: the image has more pixels than `max_pixels`.
    """
    if isinstance(image, np.ndarray):
        return _convert(_from_array(image, mode).copy(), mode)  # a grey image shares the array's memory
    if isinstance(image, Image.Image):
        try:
            return _convert(image.copy(), mode)
        except _DAMAGED as error:  # Pillow decodes an opened file only when its pixels are used
            raise ImageError(f"the image is damaged: {error}") from None
    if isinstance(image, bytes | bytearray | memoryview):
        return _decode_file(io.BytesIO(image), "the image", mode, max_pixels)
    if not isinstance(image, str | os.PathLike):
        raise ImageError(f"expected a path, bytes, a Pillow image or an array, found {type(image).__name__}")
    with open_image(image) as file:
        return _decode_file(file, str(Path(image)), mode, max_pixels)


@contextlib.contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open an image file. Raise `ImageError` if it cannot be read."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte in the path
        raise ImageError(f"cannot read {str(path)!r}: {error}") from None


def holds_grey(path: Path) -> bool:
    """Return whether an image file has one channel. Only its header is read.

    Raises:
        ImageError: the file is not an image; the message names the file.
    """
    with _opened(path, str(path), MAX_PIXELS) as picture:
        return picture.mode in ("1", "L", "LA", "F", "I") or picture.mode.startswith("I;16")


def _decode_file(file: IO[bytes], name: str, mode: Mode, max_pixels: int) -> Image.Image:
    with _opened(file, name, max_pixels) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise ImageTooLarge(_too_large(name, max_pixels, f"{width} × {height}"))
        if picture.format in {"JPEG", "MPO"}:  # MPO is a JPEG with several pictures
            _check_scans(file, name, width * height)
        picture.load()
        return _convert(picture, mode)


@contextlib.contextmanager
def _opened(file: IO[bytes] | Path, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image file and read its header. Convert Pillow's errors to `ImageError`, also inside the block."""
    try:
        with Image.open(file, formats=FORMATS) as picture:
            yield picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Pillow's limit is far above MAX_PIXELS, so the exact size does not matter here.
        raise ImageTooLarge(_too_large(name, max_pixels, "more")) from None
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a JPEG, PNG or BMP image") from None
    except _DAMAGED as error:
        raise ImageError(f"{name} is damaged: {error}") from None


def _check_scans(file: IO[bytes], name: str, pixels: int) -> None:
    """Reject a progressive JPEG with too many scans: a small file can take minutes to decode.

    Compressed data never contains the bytes 0xFF 0xDA (ITU-T T.81, B.1.1.5), so each pair starts a scan.
    """
    place = file.tell()
    file.seek(0)
    scans = file.read().count(b"\xff\xda")
    file.seek(place)
    most = min(MAX_SCANS, max(_MAX_SCANNED_PIXELS // pixels, 20))
    if scans > most:
        raise ImageError(f"{name} has {scans} JPEG scans, expected at most {most} for its size: save it again")


def _too_large(name: str, max_pixels: int, found: str) -> str:
    return f"{name} is too large: expected at most {max_pixels:,} pixels, found {found}; scale it down"


def _from_array(array: np.ndarray, mode: Mode) -> Image.Image:
    channels = (1, 3, 4) if mode == "RGBA" else (1, 3)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in channels):
        found = f"{array.dtype} {list(array.shape)}"
        raise ImageError(f"an array image must be uint8 [H, W] or [H, W, C] with C in {channels}, found {found}")
    if 0 in array.shape:
        raise ImageError(f"an array image must contain pixels, found {list(array.shape)}")
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _convert(picture: Image.Image, mode: Mode) -> Image.Image:
    """Return a picture upright and in `mode`. The input may be changed in place, to save a copy."""
    ImageOps.exif_transpose(picture, in_place=True)
    if mode != "RGBA":
        picture.info.pop("transparency", None)  # otherwise Pillow warns about a palette with alpha
    if picture.mode.startswith("I;16"):  # Pillow would clip at 255
        picture = Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    return picture if picture.mode == mode else picture.convert(mode)
