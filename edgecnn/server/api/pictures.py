"""Decodes the image files of a request with the bundle's preprocessing, and turns errors into refusals.

The status shows the client whether to send another file (400), a smaller one (413) or another format (415).
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
    """Decode, turn upright, resize and crop as the manifest says; return uint8 [N, H, W, C].

    Raises:
        Refusal: a file is not an image, is damaged, has too many pixels, or has a format that is not decoded.
    """
    images = np.stack([_pixels(file, manifest.preprocessing, max_pixels) for file in files])
    if images.shape[1:] != manifest.image_shape:
        raise Refusal("invalid", f"expected an image of {list(manifest.image_shape)}, found {list(images.shape[1:])}")
    return images


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
        # Some messages of Pillow contain bytes of the file.
        raise Refusal(
            "invalid", "cannot decode: the image is damaged" if "b'" in text else f"cannot decode: {text}"
        ) from None
