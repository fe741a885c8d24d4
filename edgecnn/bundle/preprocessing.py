"""Resize and crop a decoded image to the network's input, as described in the manifest.

Training, evaluation, calibration and devices use this implementation. Tests compare it pixel for pixel with
torchvision's transforms. Scaling to [0, 1], mean and standard deviation are recorded here and applied in the graph.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from edgecnn.bundle.decoding import CHANNELS, ImageLike, Mode, decode
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.errors import ImageTooLarge

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

MAX_SIDE = 4096
"""Largest height and width of a network's input: an untrusted bundle must not exhaust a device's memory."""


@dataclass(frozen=True)
class Resize:
    """Scale an image: one number in `size` is the shorter side, two are height and width, in pixels."""

    size: tuple[int, ...]
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if len(self.size) not in (1, 2) or min(self.size) < 1:
            raise ValueError(f"size must contain one or two positive numbers, found {list(self.size)}")
        if max(self.size) > MAX_SIDE:
            raise ValueError(f"size must be at most {MAX_SIDE}, found {list(self.size)}")

    def apply(self, image: Image.Image) -> Image.Image:
        """Resize with antialiasing, as torchvision's `Resize` does on Pillow images."""
        width, height = image.size
        if len(self.size) == 2:
            new_height, new_width = self.size
        elif width <= height:  # torchvision truncates the longer side
            new_width, new_height = self.size[0], int(self.size[0] * height / width)
        else:
            new_width, new_height = int(self.size[0] * width / height), self.size[0]
        if (new_width, new_height) == (width, height):
            return image
        if new_width * new_height > MAX_PIXELS:  # a very long and narrow image scales to a huge one
            raise ImageTooLarge(
                f"an image of {width} × {height} pixels scales to {new_width} × {new_height}, "
                f"expected at most {MAX_PIXELS:,} pixels: crop it"
            )
        return image.resize((new_width, new_height), _RESAMPLING[self.interpolation])


@dataclass(frozen=True)
class Preprocessing:
    """The steps between an image file and the graph, and the normalization inside the graph.

    Attributes:
        mode: colour mode: `L`, `RGB` or `RGBA`.
        resize: scaling, or None to keep the size.
        crop: height and width of the centre crop, or None. A smaller image is padded with black.
        mean: mean per channel of pixels scaled to [0, 1]; applied inside the graph.
        std: standard deviation per channel of pixels scaled to [0, 1]; applied inside the graph.
    """

    mode: Mode
    resize: Resize | None
    crop: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std must have {self.channels} numbers each for mode {self.mode}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, found {list(self.std)}")
        if self.crop is not None and not 1 <= min(self.crop) <= max(self.crop) <= MAX_SIDE:
            raise ValueError(f"crop must be in 1..{MAX_SIDE}, found {list(self.crop)}")

    @property
    def channels(self) -> int:
        """Number of channels: 1, 3 or 4."""
        return CHANNELS[self.mode]

    def image(self, image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode and preprocess one image to uint8 [H, W, C].

        Raises:
            ImageError: the image cannot be decoded, has more pixels than `max_pixels`, or scales to a too large size.
        """
        picture = decode(image, self.mode, max_pixels=max_pixels)
        if self.resize is not None:
            try:
                picture = self.resize.apply(picture)
            except ImageTooLarge as error:
                if isinstance(image, str | os.PathLike):
                    raise ImageTooLarge(f"{os.fspath(image)}: {error}") from None
                raise
        if self.crop is not None:
            picture = centre_crop(picture, *self.crop)
        return np.atleast_3d(np.asarray(picture, dtype=np.uint8))

    def keeps(self, height: int, width: int) -> bool:
        """Return whether preprocessing leaves an image of this size and mode unchanged."""
        size = None if self.resize is None else self.resize.size
        return size in (None, (height, width), (min(height, width),)) and self.crop in (None, (height, width))

    def images(self, images: Iterable[ImageLike]) -> np.ndarray:
        """Decode and preprocess several images to uint8 [N, H, W, C]. The results must have the same size."""
        return np.stack([self.image(image) for image in images])


def centre_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """Return the centre of an image, padded with black if it is smaller. It rounds as torchvision's `CenterCrop`."""
    if image.width < width or image.height < height:
        left, top = max((width - image.width) // 2, 0), max((height - image.height) // 2, 0)
        padded = Image.new(image.mode, (max(width, image.width), max(height, image.height)))
        padded.paste(image, (left, top))
        image = padded
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
