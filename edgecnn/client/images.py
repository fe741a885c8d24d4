"""Converts images for sending: the bytes of a file unchanged, or pixels without loss.

Files are decoded and resized on the server, as the bundle's manifest specifies. Nothing is resized here. A server may
accept fewer formats than this package reads; it refuses the others (UnknownFormat).
"""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.decoding import MODES, ImageLike, decode, open_image
from edgecnn.client.description import Description
from edgecnn.errors import ImageError, ImageTooLarge, ServerError, UnknownFormat

MAX_REQUEST_BYTES = 16 << 20
"""Maximum bytes of images in a request, unless one image is larger: a quarter of the server's default limit."""

_MAX_FILE_BYTES = 280 << 20
"""Above the size of the largest image that is decoded, uncompressed with four bytes per pixel."""


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
        """Size of the content."""
        return self.content.nbytes if isinstance(self.content, np.ndarray) else len(self.content)

    def refused(self, error: ServerError) -> ImageError:
        """Return the server's error for this image, with the name of the image."""
        text = error.text.removeprefix("cannot decode: ")
        if text.startswith("the image "):
            text = f"{self.name}{text.removeprefix('the image')}"
        kind = {413: ImageTooLarge, 415: UnknownFormat}.get(error.status, ImageError)
        return kind(text if self.name in text else f"{self.name}: {text}")


def chunks(images: Iterable[ImageLike], model: Description) -> Iterator[list[Picture | ImageError]]:
    """Split images into chunks, one per request; an unreadable image is replaced by its error."""
    chunk: list[Picture | ImageError] = []
    size = 0
    for image in images:
        picture: Picture | ImageError
        try:
            picture = _picture(image, model)
        except ImageError as error:
            picture = error
        added = picture.size_bytes if isinstance(picture, Picture) else 0
        if chunk and (len(chunk) == model.max_batch or size + added > MAX_REQUEST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(picture)
        size += added
    if chunk:
        yield chunk


def _picture(image: ImageLike, model: Description) -> Picture:
    """Prepare an image for sending, or raise an `ImageError` that names the file."""
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else "the image"
    if model.card is not None and isinstance(image, str | os.PathLike):
        with open_image(image) as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ImageTooLarge(f"{name} is too large: expected at most {_MAX_FILE_BYTES >> 20} MiB")
        return Picture(name, content)
    if model.card is not None and isinstance(image, bytes | bytearray | memoryview):
        return Picture(name, bytes(image))
    decoded = decode(image, MODES[model.shape[2]])
    pixels = np.atleast_3d(np.asarray(decoded, np.uint8))
    if model.card is not None:
        if model.card.keeps_pixels and pixels.shape == model.card.shape:
            return Picture(name, pixels)
        encoded = io.BytesIO()
        decoded.info.clear()  # ICC profile and comments are not used
        decoded.save(encoded, "PNG", compress_level=1)  # much faster than the default of 6, and only a little larger
        return Picture(name, encoded.getvalue())
    if any(wanted not in (-1, size) for wanted, size in zip(model.shape, pixels.shape, strict=True)):
        raise ImageError(
            f"{name} has {list(pixels.shape)}: the server does not report how images are resized for {model.name!r}, "
            f"so each must have exactly {list(model.shape)}"
        )
    return Picture(name, pixels)
