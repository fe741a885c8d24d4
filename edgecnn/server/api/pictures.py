"""Decode the image files of a request with the bundle's preprocessing, and convert errors to refusals.

The status separates damaged files (400), images with too many pixels (413) and unsupported formats (415).
"""

from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.decoding import FORMATS
from edgecnn.bundle.manifest import Manifest
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
"""Formats that the server recognizes but does not decode, by the first bytes of their files."""


def pixels_of(files: Sequence[bytes], manifest: Manifest, *, max_pixels: int) -> np.ndarray:
    """Decode, orient, resize and crop images as the manifest specifies; return uint8 [N, H, W, C].

    Raises:
        Refusal: a file is not an image, is damaged, has too many pixels, or has an unsupported format.
    """
    images = np.stack([_pixels(file, manifest.preprocessing, max_pixels) for file in files])
    if images.shape[1:] != manifest.image_shape:
        raise Refusal("invalid", f"expected an image of {list(manifest.image_shape)}, found {list(images.shape[1:])}")
    return images


def _pixels(file: bytes, preprocessing: Preprocessing, max_pixels: int) -> np.ndarray:
    if not file:
        raise Refusal("invalid", f"expected a {' or '.join(FORMATS)} image, found an empty file")
    for name, beginnings in _FOREIGN.items():
        if file.startswith(beginnings):
            raise Refusal("unsupported", f"expected an image in {', '.join(FORMATS)}, found {name}")
    try:
        return preprocessing.image(file, max_pixels=max_pixels)
    except ImageTooLarge as error:
        raise Refusal("too_large", str(error)) from None
    except ImageError as error:
        text = str(error)
        # Some of Pillow's messages contain bytes of the file; the client gets a general one.
        raise Refusal(
            "invalid", "cannot decode: the image is damaged" if "b'" in text else f"cannot decode: {text}"
        ) from None
