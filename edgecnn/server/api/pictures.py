"""Decode the image files of a request with the bundle's preprocessing, and convert errors to refusals.

The status separates damaged files (400), images with too many pixels (413) and unsupported formats (415).
"""

from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.formats import SIGNATURE_BYTES, identify, listed
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.bundle.manifest import Manifest
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError, ImageTooLarge
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.version import Bounds

_FOREIGN = {
    "PostScript": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "PDF": (b"%PDF",),
    "FITS": (b"SIMPLE  =",),
    "SVG": (b"<svg", b"<?xml"),
    "ISO media": tuple(b"\0\0\0%cftyp" % length for length in range(16, 256, 4)),
    "JPEG 2000": (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
    "icon": (b"\0\0\1\0",),
}
"""Formats that the server recognizes and never decodes, by the first bytes of their files."""


def pixels_of(files: Sequence[bytes], manifest: Manifest, bounds: Bounds) -> np.ndarray:
    """Decode, orient, resize and crop images as the manifest specifies; return uint8 [N, H, W, C].

    Raises:
        Refusal: a file is not an image, is damaged, has too many pixels, or has an unsupported format.
    """
    images = np.stack([_pixels(file, manifest.preprocessing, bounds) for file in files])
    if images.shape[1:] != manifest.image_shape:
        raise Refusal("invalid", f"expected an image of {list(manifest.image_shape)}, found {list(images.shape[1:])}")
    return images


def _pixels(file: bytes, preprocessing: Preprocessing, bounds: Bounds) -> np.ndarray:
    expected = f"expected a {listed(bounds.formats)} image"
    if not file:
        raise Refusal("invalid", f"{expected}, found an empty file")
    found = identify(file[:SIGNATURE_BYTES]) or next(
        (name for name, beginnings in _FOREIGN.items() if file.startswith(beginnings)), None
    )
    if found is not None and found not in bounds.formats:
        raise Refusal("unsupported", f"{expected}, found {found}")
    try:
        return preprocessing.image(file, max_pixels=bounds.max_pixels, formats=bounds.formats)
    except ImageTooLarge as error:
        option = "" if bounds.max_pixels == MAX_PIXELS else " (this server's --max-pixels is lower than the default)"
        raise Refusal("too_large", f"{error}{option}") from None
    except ImageError as error:
        text = str(error)
        # Some of Pillow's messages contain bytes of the file; the client gets a general one.
        raise Refusal(
            "invalid", "cannot decode: the image is damaged" if "b'" in text else f"cannot decode: {text}"
        ) from None
