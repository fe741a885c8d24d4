"""Encoded image files to pixels, by the bundle's own preprocessing; what is wrong with a file becomes a status.

A status tells a client whether to send another file (400), a smaller one (413) or another format (415).
"""

from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.decoding import FORMATS
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError, ImageTooLarge
from edgecnn.protocol.refusal import Refusal

_FOREIGN = {
    "GIF": (b"GIF8",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "WebP": (b"RIFF",),
    "PostScript": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "PDF": (b"%PDF",),
    "FITS": (b"SIMPLE  =",),
    "SVG": (b"<svg", b"<?xml"),
    "HEIF or AVIF": tuple(b"\0\0\0%cftyp" % length for length in range(16, 256, 4)),
    "JPEG 2000": (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
    "icon": (b"\0\0\1\0",),
}
"""Formats that are known and not decoded here, by how their files begin."""


def pixels_of(files: Sequence[bytes], preprocessing: Preprocessing, *, max_pixels: int) -> np.ndarray:
    """Decode, turn upright, resize and crop as the manifest says; returns uint8 [N, H, W, C].

    Raises:
        Refusal: a file is no image, is damaged, has too many pixels, or another format than is decoded here.
    """
    return np.stack([_pixels(file, preprocessing, max_pixels) for file in files])


def _pixels(file: bytes, preprocessing: Preprocessing, max_pixels: int) -> np.ndarray:
    if not file:
        raise Refusal("invalid", f"the image is empty: expected a {' or '.join(FORMATS)} file")
    for name, beginnings in _FOREIGN.items():
        if file.startswith(beginnings):
            raise Refusal("unsupported", f"the image is {name}: {', '.join(FORMATS)} are decoded here")
    try:
        return preprocessing.image(file, max_pixels=max_pixels)
    except ImageTooLarge as error:
        raise Refusal("too_large", str(error)) from None
    except ImageError as error:
        text = str(error)
        # Some of Pillow's texts show bytes of the file as Python writes them.
        raise Refusal(
            "invalid", "cannot decode: the image is damaged" if "b'" in text else f"cannot decode: {text}"
        ) from None
