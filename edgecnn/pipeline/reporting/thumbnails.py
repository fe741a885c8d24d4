"""Small pictures of images, embedded in a page."""

import base64
import io

import numpy as np
from PIL import Image

_SIDE = 96
_LOSSLESS_SIDE = 48
_QUALITY = 80


def thumbnail(pixels: np.ndarray) -> str:
    """Return a picture of preprocessed pixels, uint8 [H, W, C] with 1, 3 or 4 channels, as a `data:` address.

    A picture has at most 96 pixels a side. Small ones, and the ones with alpha, are PNG files; others are JPEG files.
    """
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    is_exact = max(picture.size) <= _LOSSLESS_SIDE or picture.mode == "RGBA"
    buffer = io.BytesIO()
    if is_exact:
        picture.save(buffer, "png", optimize=True)
    else:
        picture.save(buffer, "jpeg", quality=_QUALITY, optimize=True)
    kind = "png" if is_exact else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
