"""Decode the image files of a request with the bundle's preprocessing, and convert errors to refusals.

The status separates damaged files (400), images with too many pixels or too much memory (413), unsupported formats
(415), and memory that other requests use at the moment (503). An image is admitted by its header, before memory for its
pixels is allocated.
"""

import contextlib
import math
from collections.abc import Callable, Sequence

import numpy as np

from edgecnn.bundle.decoding_memory import DecodingNeed
from edgecnn.bundle.formats import SIGNATURE_BYTES, identify, listed
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.bundle.parsing import text_bytes
from edgecnn.errors import ImageError, ImageTooLarge
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.step_pool import LARGE_BYTES
from edgecnn.server.api.suspects import DecodingGuard
from edgecnn.server.memory import Claim
from edgecnn.server.models.version import Version

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


class _LargeImage(Exception):
    """An image must be decoded in a thread for large images."""


class _NotAdmitted(ImageError):
    """Carries an error through the parsers of images, which translate all others."""

    def __init__(self, error: Refusal | _LargeImage) -> None:
        super().__init__("not admitted")
        self._errors = [error]

    def take(self) -> Refusal | _LargeImage:
        """Return the error, once. Two errors that reference each other would keep the file in memory."""
        return self._errors.pop()


class Pictures:
    """The image files of one request, which are decoded one after another."""

    def __init__(
        self,
        files: Sequence[bytes],
        version: Version,
        *,
        claim: Claim,
        guard: DecodingGuard,
        begin_image: Callable[[], object],
    ) -> None:
        """Prepare the decoding. `begin_image` is called before each image; it raises `Refusal` to stop."""
        self._files = files
        self._preprocessing, self._shape = version.bundle.manifest.preprocessing, version.bundle.manifest.image_shape
        self._bounds = version.bounds
        self._claim, self._guard, self._begin_image = claim, guard, begin_image
        self._done = self._pixels = 0
        self._images: np.ndarray | None = None

    def decode(self, *, is_large: bool) -> np.ndarray | None:
        """Decode, orient, resize and crop the images as the manifest specifies; the claim then contains the result.

        Returns:
            uint8 [N, H, W, C]; None if `is_large` is false and the next image is large. Then call the method again,
            with `is_large` and in a thread for large images.

        Raises:
            Refusal: a file is not an image, is damaged, has an unsupported format or too many pixels, or there is no
                memory for it.
        """
        if self._images is None:
            size = len(self._files) * math.prod(self._shape)
            self._claim.take(size)
            self._images = np.empty((len(self._files), *self._shape), np.uint8)
        while self._done < len(self._files):
            self._begin_image()
            file = self._files[self._done]
            try:
                with self._guard.decoding(file):
                    image = self._decoded(file, is_large=is_large)
            except _LargeImage:
                return None
            if image.shape != self._shape:
                raise Refusal("invalid", f"expected an image of {list(self._shape)}, found {list(image.shape)}")
            self._images[self._done] = image
            self._done += 1
        return self._images

    def _decoded(self, file: bytes, *, is_large: bool) -> np.ndarray:
        bounds = self._bounds
        expected = f"expected a {listed(bounds.formats)} image"
        if not file:
            raise Refusal("invalid", f"{expected}, found an empty file")
        found = identify(file[:SIGNATURE_BYTES]) or next(
            (name for name, beginnings in _FOREIGN.items() if file.startswith(beginnings)), None
        )
        if found is not None and found not in bounds.formats:
            raise Refusal("unsupported", f"{expected}, found {found}")
        texts = text_bytes(file) if found == "PNG" else 0
        try:
            with self._claim.holding(texts) if texts else contextlib.nullcontext(), contextlib.ExitStack() as held:
                return self._preprocessing.image(
                    file,
                    max_pixels=bounds.max_pixels,
                    formats=bounds.formats,
                    admit=lambda need: self._admit(need, held, is_large=is_large),
                )
        except _NotAdmitted as stop:
            raise stop.take() from None
        except ImageTooLarge as error:
            is_lower = bounds.max_pixels != MAX_PIXELS
            option = " (this server's --max-pixels is lower than the default)" if is_lower else ""
            raise Refusal("too_large", f"{error}{option}") from None
        except ImageError as error:
            text = str(error)
            # Some of Pillow's messages contain bytes of the file; the client gets a general one.
            raise Refusal(
                "invalid", "cannot decode: the image is damaged" if "b'" in text else f"cannot decode: {text}"
            ) from None

    def _admit(self, need: DecodingNeed, held: contextlib.ExitStack, *, is_large: bool) -> None:
        """Count an image's pixels, and hold its memory until `held` is closed."""
        most = self._bounds.max_request_pixels
        if self._pixels + need.pixels > most:
            raise _NotAdmitted(
                Refusal(
                    "too_large",
                    f"expected at most {most:,} pixels in all images of a request, found "
                    f"{self._pixels + need.pixels:,} in the first {self._done + 1}: send fewer or smaller images, or "
                    f"start the server with a larger --max-request-pixels",
                )
            )
        if need.memory_bytes > LARGE_BYTES and not is_large:
            raise _NotAdmitted(_LargeImage())
        held.close()  # a damaged file may be read a second time
        try:
            held.enter_context(self._claim.holding(need.memory_bytes))
        except Refusal as refusal:
            raise _NotAdmitted(refusal) from None
        self._pixels += need.pixels
