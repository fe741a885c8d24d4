"""From what a user calls an image to what travels: a file's bytes as they are, or pixels without loss.

Files are decoded and resized on the server, as the bundle's manifest says there. Nothing is resized here.
"""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.bundle.decoding import ImageLike, Mode, decode
from edgecnn.client.description import Served
from edgecnn.errors import ImageError, ImageTooLarge

MOST_BYTES = 16 << 20
"""Of images in a request, unless one alone is larger: a quarter of what a server takes by default."""

_LARGEST_FILE = 280 << 20
"""Bytes of an image file: as many pixels as are decoded anywhere, four bytes each and not compressed, need fewer."""


@dataclass(frozen=True)
class Picture:
    """An image ready to be sent.

    Attributes:
        name: for messages.
        content: an encoded file, or uint8 [H, W, C] of the model's size.
    """

    name: str
    content: bytes | np.ndarray

    @property
    def size_bytes(self) -> int:
        """Of what travels."""
        return self.content.nbytes if isinstance(self.content, np.ndarray) else len(self.content)


def chunks(images: Iterable[ImageLike], served: Served) -> Iterator[list[Picture | ImageError]]:
    """Part images into what one request may hold; those that cannot be read stand in their places."""
    chunk: list[Picture | ImageError] = []
    size = 0
    for image in images:
        picture: Picture | ImageError
        try:
            picture = _picture_of(image, served)
        except ImageError as error:
            picture = error
        added = picture.size_bytes if isinstance(picture, Picture) else 0
        if chunk and (len(chunk) == served.max_batch or size + added > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(picture)
        size += added
    if chunk:
        yield chunk


def _picture_of(image: ImageLike, served: Served) -> Picture:
    """Make an image ready to be sent.

    Args:
        image: a path, an encoded file's bytes, a Pillow image, or an array: uint8 [H, W], [H, W, 1] or [H, W, 3].
        served: the model that will see it.

    Raises:
        ImageError: it cannot be read, or is none; the message names the file.
    """
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else "the image"
    mode: Mode = "L" if served.shape[2] == 1 else "RGB"
    if served.card is None:
        return Picture(name, _exact(image, served, name, mode))
    if isinstance(image, str | os.PathLike):
        return Picture(name, _file(Path(image)))
    if isinstance(image, bytes | bytearray | memoryview):
        return Picture(name, bytes(image))
    picture = decode(image, mode)
    pixels = _pixels(picture)
    if served.card.takes_as_is and pixels.shape == served.card.shape:
        return Picture(name, pixels)
    return Picture(name, _png(picture))


def said_of(picture: Picture, status: int, text: str) -> ImageError:
    """Return the error that a server's refusal of an image is; what it calls "the image" has a name here."""
    said = text.removeprefix("cannot decode: ")
    said = f"{picture.name}{said.removeprefix('the image')}" if said.startswith("the image ") else said
    kind = ImageTooLarge if status == 413 else ImageError
    return kind(said if picture.name in said else f"{picture.name}: {said}")


def _exact(image: ImageLike, served: Served, name: str, mode: Mode) -> np.ndarray:
    """Decode an image for a server that does not say how it would be resized: it must have the right size already."""
    pixels = _pixels(decode(image, mode))
    if any(wanted not in (-1, size) for wanted, size in zip(served.shape, pixels.shape, strict=True)):
        raise ImageError(
            f"{name} has {list(pixels.shape)}: the server does not say how images are resized for {served.name!r}, "
            f"so each must have exactly {list(served.shape)}"
        )
    return pixels


def _pixels(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture, np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.info.clear()  # its ICC profile and comments: nobody looks at them
    picture.save(file, "PNG", compress_level=1)  # much quicker than the usual 6, and not much larger
    return file.getvalue()


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte in the path
        raise ImageError(f"cannot read {str(path)!r}: {error}") from None
    if len(content) > _LARGEST_FILE:
        raise ImageTooLarge(f"{path} is too large: no image file has more than {_LARGEST_FILE >> 20} MiB")
    return content
