"""Resize and crop a decoded image to the network's input, as described in the manifest.

Training, evaluation, calibration and devices use this implementation. Tests compare it pixel for pixel with
torchvision's transforms. Scaling to [0, 1], mean and standard deviation are recorded here and applied in the graph.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from edgecnn.bundle.choices import Fit, Interpolation
from edgecnn.bundle.decoding import CHANNELS, ImageLike, Mode, decode
from edgecnn.bundle.decoding_memory import (
    Admit,
    array_bytes,
    need_of,
    opencv_resize_bytes,
    picture_bytes,
    pillow_resize_bytes,
)
from edgecnn.bundle.formats import FORMATS
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.bundle.opencv import resize_area, resize_bilinear
from edgecnn.errors import ImageTooLarge
from edgecnn.files.schema import ADDED

_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
_OPENCV = {"opencv-bilinear": resize_bilinear, "opencv-area": resize_area}

MAX_SIDE = 4096
"""Largest height and width of a network's input: an untrusted bundle must not exhaust a device's memory."""


@dataclass(frozen=True)
class Resize:
    """Scale an image.

    Attributes:
        size: one number is the shorter side, two are height and width, in pixels; but see `fit`.
        interpolation: Pillow's filter, as torchvision uses it on Pillow images, or OpenCV's.
        fit: `longer`: one number is the longer side. `letterbox`: the image is scaled to fit into height and width, and
            padded on both sides, as Ultralytics' `LetterBox` does. None: see `size`.
        fill: level of the padding of `letterbox`: one for all channels, or one for each.
    """

    size: tuple[int, ...]
    interpolation: Interpolation = "bilinear"
    fit: Fit | None = field(default=None, metadata=ADDED)
    fill: tuple[int, ...] = field(default=(0,), metadata=ADDED)

    def __post_init__(self) -> None:
        if len(self.size) not in (1, 2) or min(self.size) < 1:
            raise ValueError(f"size must contain one or two positive numbers, found {list(self.size)}")
        if max(self.size) > MAX_SIDE:
            raise ValueError(f"size must be at most {MAX_SIDE}, found {list(self.size)}")
        if self.fit is not None and len(self.size) != (expected := {"longer": 1, "letterbox": 2}[self.fit]):
            raise ValueError(f"size must contain {expected} numbers for {self.fit}, found {list(self.size)}")
        if self.fill != (0,) and self.fit != "letterbox":
            raise ValueError(f"fill is for letterbox only, found {list(self.fill)}")
        if not self.fill or not all(0 <= level <= 255 for level in self.fill):
            raise ValueError(f"fill must contain levels in 0..255, found {list(self.fill)}")

    def apply(self, image: Image.Image) -> Image.Image:
        """Resize an image.

        Raises:
            ImageTooLarge: the image scales to more than 64 million pixels.
        """
        height, width = self._scaled(image.height, image.width)
        if width * height > MAX_PIXELS:  # a very long and narrow image scales to a huge one
            raise ImageTooLarge(
                f"an image of {image.width} × {image.height} pixels scales to {width} × {height}, "
                f"expected at most {MAX_PIXELS:,} pixels: crop it"
            )
        if (width, height) != image.size:
            image = scale(image, height, width, self.interpolation)
        return self._padded(image) if self.fit == "letterbox" else image

    def memory_of(self, width: int, height: int, mode: Mode) -> tuple[int, tuple[int, int]]:
        """Return the memory that `apply` takes besides the image, in bytes, and the new width and height."""
        new_height, new_width = self._scaled(height, width)
        if new_width * new_height > MAX_PIXELS:
            return 0, (width, height)  # it is refused
        old, new = (width, height), (new_width, new_height)
        taken = 0
        if new != old and self.interpolation in _PILLOW:
            taken = pillow_resize_bytes(mode, old, new, self.interpolation)
        elif new != old:
            taken = opencv_resize_bytes(CHANNELS[mode], old, new, is_area=self.interpolation == "opencv-area")
        if self.fit != "letterbox":
            return taken, new
        padded = self.size[1], self.size[0]
        return max(taken, picture_bytes(mode, *new) + picture_bytes(mode, *padded)), padded

    def keeps(self, height: int, width: int) -> bool:
        """Return whether an image of this size is not changed."""
        return (height, width) == (self.size if len(self.size) == 2 else self._scaled(height, width))

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which an image is scaled."""
        if self.fit == "letterbox":
            ratio = min(self.size[0] / height, self.size[1] / width)
            return max(1, round(height * ratio)), max(1, round(width * ratio))
        if len(self.size) == 2:
            return self.size[0], self.size[1]
        (side,) = self.size
        if self.fit == "longer":  # torchvision truncates the other side
            longer = max(height, width)
            return max(1, int(side * height / longer)), max(1, int(side * width / longer))
        if width <= height:
            return int(side * height / width), side
        return side, int(side * width / height)

    def _padded(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if image.size == (width, height):
            return image
        fill = self.fill * len(image.getbands()) if len(self.fill) == 1 else self.fill
        padded = Image.new(image.mode, (width, height), fill[0] if len(fill) == 1 else fill)
        padded.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        return padded


def scale(image: Image.Image, height: int, width: int, interpolation: Interpolation) -> Image.Image:
    """Scale an image to a height and width in pixels, with a filter of Pillow or OpenCV."""
    if interpolation in _PILLOW:
        return image.resize((width, height), _PILLOW[interpolation])
    pixels = _OPENCV[interpolation](np.atleast_3d(np.asarray(image)), height, width)
    return Image.fromarray(pixels[:, :, 0] if image.mode == "L" else pixels)


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
        if not np.isfinite((*self.mean, *self.std)).all():
            raise ValueError(f"mean and std must be finite, found {list(self.mean)} and {list(self.std)}")
        if self.resize is not None and len(self.resize.fill) not in (1, self.channels):
            raise ValueError(f"fill must have 1 or {self.channels} numbers, found {list(self.resize.fill)}")
        if self.crop is not None and not 1 <= min(self.crop) <= max(self.crop) <= MAX_SIDE:
            raise ValueError(f"crop must be in 1..{MAX_SIDE}, found {list(self.crop)}")

    @property
    def channels(self) -> int:
        """Number of channels: 1, 3 or 4."""
        return CHANNELS[self.mode]

    def image(
        self,
        image: ImageLike,
        *,
        max_pixels: int = MAX_PIXELS,
        formats: Sequence[str] = FORMATS,
        admit: Admit | None = None,
    ) -> np.ndarray:
        """Decode and preprocess one image to uint8 [H, W, C]; see `decode`. `admit` takes the need of all steps.

        Raises:
            ImageError: the image cannot be decoded, has more pixels than `max_pixels`, or scales to a too large size.
            UnknownFormat: a file is not an image of `formats`.
        """
        picture = decode(
            image,
            self.mode,
            max_pixels=max_pixels,
            formats=formats,
            admit=None if admit is None else lambda opened, kind: admit(need_of(opened, kind, self.mode, self._peak)),
        )
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

    def _peak(self, width: int, height: int) -> int:
        """Return the most memory that an image of this size and its preprocessing take together, in bytes."""
        decoded, peak = picture_bytes(self.mode, width, height), 0
        if self.resize is not None:
            taken, (width, height) = self.resize.memory_of(width, height, self.mode)
            peak = decoded + taken
        if self.crop is not None:
            across, down = max(width, self.crop[1]), max(height, self.crop[0])
            padded = picture_bytes(self.mode, across, down) if (across, down) != (width, height) else 0
            result = picture_bytes(self.mode, self.crop[1], self.crop[0])
            peak = max(peak, picture_bytes(self.mode, width, height) + padded + result)
            height, width = self.crop
        return max(peak, decoded, array_bytes(self.mode, self.channels, width, height))

    def keeps(self, height: int, width: int) -> bool:
        """Return whether preprocessing leaves an image of this size and mode unchanged."""
        return (self.resize is None or self.resize.keeps(height, width)) and self.crop in (None, (height, width))

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
