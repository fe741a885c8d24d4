"""Differences of pixels in levels of 255, whatever the scale of the network's input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.pipeline.checking.statements import Statement
from edgecnn.pipeline.reference import IndependentSession

_OVERSHOOTING = ("bicubic", "lanczos")
"""Filters whose result may leave 0..255. With uint8 it is clipped, with floats it is not."""


@dataclass(frozen=True)
class Limits:
    """Largest allowed difference of a pixel, and of the mean over an image, in levels."""

    largest: float
    mean: float


EXACT = Limits(2.0, 0.75)
"""For files that every decoder reads alike. A resize in float instead of uint8 differs by 1 and 0.3 levels."""

LOSSY = Limits(8.0, 1.0)
"""For JPEG and WebP files, whose decoders may round differently."""


@dataclass(frozen=True)
class PixelDifference:
    """The difference of an image's pixels: the largest and the mean over the image, in levels, and their limits."""

    largest: float
    mean: float
    limits: Limits

    @property
    def holds(self) -> bool:
        """Whether the difference is within the limits."""
        return self.excess <= 1

    @property
    def excess(self) -> float:
        """The difference as a multiple of its limit."""
        return max(self.largest / self.limits.largest, self.mean / self.limits.mean)


@dataclass(frozen=True)
class Levels:
    """The network's input for black and for white, float32 [C, 1, 1], and whether levels outside 0..255 are clipped."""

    black: np.ndarray
    white: np.ndarray
    is_clipped: bool

    @classmethod
    def of(cls, statement: Statement, session: IndependentSession) -> "Levels":
        """Return the scale of a statement's inputs."""
        preprocessing = statement.preprocessing
        shape = (1, 1, preprocessing.channels)
        plain = replace(statement, preprocessing=replace(preprocessing, resize=None, crop=None))
        black, white = plain.inputs_of([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)], session)
        resize = preprocessing.resize
        return cls(black, white, resize is not None and resize.interpolation in _OVERSHOOTING)

    def to_levels(self, inputs: np.ndarray) -> np.ndarray:
        """Return the levels of inputs [N, C, H, W]."""
        levels = (inputs - self.black) / (self.white - self.black) * np.float32(255)
        return np.asarray(levels.clip(0, 255) if self.is_clipped else levels)

    def differences(self, theirs: np.ndarray, ours: np.ndarray, is_lossy: Sequence[bool]) -> list[PixelDifference]:
        """Compare inputs, float32 [N, C, H, W]. `is_lossy` says which come from lossy files."""
        found = np.abs(self.to_levels(theirs) - self.to_levels(ours))
        return [
            PixelDifference(float(each.max()), float(each.mean()), LOSSY if lossy else EXACT)
            for each, lossy in zip(found, is_lossy, strict=True)
        ]
