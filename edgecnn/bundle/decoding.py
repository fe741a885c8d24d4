"""Decode an image file, bytes, a Pillow image or an array to pixels of one colour mode.

The formats are those of `formats`; no other parser of Pillow is opened. Of an animation or a file with several
pages, the first picture is read. Unusual images are converted in the same way in training and on the device:

* EXIF and XMP orientation is applied, then dropped; an odd value in the metadata never costs an image;
* alpha is dropped, not blended (as torchvision's loader does), except in mode RGBA; a palette is resolved;
* CMYK becomes RGB as Pillow converts it, without colour management; ICC profiles are ignored;
* 16-bit samples keep their upper byte; 12-bit samples of TIFF keep their upper 8 bits;
* 32-bit integers in 0..255 are kept; if one is larger, all must be in 0..65535 and keep their upper byte;
* 32-bit floats in 0..1 are multiplied by 255 and rounded; if one is larger, all must be in 0..255 and are truncated.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from PIL import Image, ImageFile

from edgecnn.bundle.formats import FORMATS
from edgecnn.bundle.levels import in_mode
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.bundle.orientation import drop_unreadable, orientation_of, turned
from edgecnn.bundle.parsing import check_scans, parsed, quiet, translated
from edgecnn.errors import ImageError

Mode = Literal["L", "RGB", "RGBA"]
CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3, "RGBA": 4}
MODES: dict[int, Mode] = {count: mode for mode, count in CHANNELS.items()}
ImageLike = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says.

    Attributes:
        format: a name of `FORMATS`.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        is_grey: whether it has one channel, besides alpha. A palette counts as colour.
    """

    format: str
    width: int
    height: int
    is_grey: bool


def decode(
    image: ImageLike,
    mode: Mode,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    admit: Callable[[ImageFile.ImageFile, str], None] | None = None,
) -> Image.Image:
    """Decode one image.

    Args:
        image: a path, an encoded file's bytes, a Pillow image, or an array: uint8 [H, W], [H, W, 1] or [H, W, 3],
            and [H, W, 4] for RGBA.
        mode: `L` for one channel (ITU-R 601-2 luma), `RGB` for three, `RGBA` for four.
        max_pixels: largest number of pixels of a file; it is checked in the header, before memory is allocated.
        formats: formats of a file, names of `FORMATS`.
        admit: takes an opened file and the name of its format, before memory for its pixels is allocated. It raises an
            `ImageError` to refuse the file. It is called again if a damaged file is read a second time.

    Returns:
        A Pillow image of that mode, upright.

    Raises:
        ImageError: the image cannot be decoded; the message names the file.
        UnknownFormat: the file is not an image of `formats`.
        ImageTooLarge: the file has more pixels than `max_pixels`.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, mode)
    if isinstance(image, Image.Image):
        return _from_picture(image, mode)
    with _file_of(image) as (file, name):
        return parsed(
            file,
            name,
            max_pixels=max_pixels,
            formats=formats,
            use=lambda picture, found: _decoded(picture, found, mode, name, admit),
        )


def read_header(image: str | os.PathLike[str] | bytes) -> ImageHeader:
    """Read the header of an image file, given as a path or as bytes.

    Raises:
        UnknownFormat: the file is not an image of `FORMATS`.
        ImageTooLarge: it has more than `MAX_PIXELS` pixels.
        ImageError: it is damaged or cannot be read.
    """
    with _file_of(image) as (file, name):
        return parsed(file, name, max_pixels=MAX_PIXELS, formats=FORMATS, use=_header_of)


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


@contextlib.contextmanager
def _file_of(image: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Iterator[tuple[IO[bytes], str]]:
    """Return a file that can be read from any position, and its name for messages."""
    if isinstance(image, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(image)), "the image"
    elif isinstance(image, str | os.PathLike):
        with open_image(image) as file:
            yield file if file.seekable() else io.BytesIO(file.read()), str(Path(image))
    else:
        raise ImageError(f"expected a path, bytes, a Pillow image or an array, found {type(image).__name__}")


def _header_of(picture: ImageFile.ImageFile, found: str) -> ImageHeader:
    width, height = picture.size
    if found != "TIFF" and orientation_of(picture) >= 5:  # of a TIFF, Pillow gives the upright size
        width, height = height, width
    is_grey = picture.mode in {"1", "L", "LA", "La", "I", "F"} or picture.mode.startswith("I;16")
    return ImageHeader(found, width, height, is_grey)


def _decoded(
    picture: ImageFile.ImageFile,
    found: str,
    mode: Mode,
    name: str,
    admit: Callable[[ImageFile.ImageFile, str], None] | None,
) -> Image.Image:
    if admit is not None:
        admit(picture, found)
    if found == "JPEG":
        check_scans(picture, name)
    return _finished(picture, mode, name)


def _finished(picture: Image.Image, mode: Mode, name: str) -> Image.Image:
    if picture.format == "TIFF":
        drop_unreadable(picture)
    picture.load()
    return turned(in_mode(picture, mode, name), orientation_of(picture))


def _from_picture(picture: Image.Image, mode: Mode) -> Image.Image:
    if 0 in picture.size:
        raise ImageError(f"an image must contain pixels, found {picture.width} × {picture.height}")
    is_closed = isinstance(picture, ImageFile.ImageFile) and bool(picture.tile) and picture.fp is None
    try:
        with translated("the image"), quiet():  # Pillow decodes an opened file only when its pixels are used
            result = _finished(picture, mode, "the image")
            return result.copy() if result is picture else result
    except ImageError as error:
        if is_closed or "closed image" in str(error):
            raise ImageError(
                "the image is closed: decode it before, or call load() before its file is closed"
            ) from None
        raise


def _from_array(array: np.ndarray, mode: Mode) -> Image.Image:
    channels = (1, 3, 4) if mode == "RGBA" else (1, 3)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in channels):
        found = f"{array.dtype} {list(array.shape)}"
        raise ImageError(f"an array image must be uint8 [H, W] or [H, W, C] with C in {channels}, found {found}")
    if 0 in array.shape:
        raise ImageError(f"an array image must contain pixels, found {list(array.shape)}")
    picture = Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    return in_mode(picture.copy(), mode, "the image")  # a grey image shares the array's memory
