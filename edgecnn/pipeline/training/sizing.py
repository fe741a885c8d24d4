"""Choose the image size and the stem of a network from its training images."""

from dataclasses import replace

import numpy as np

from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.models.registry import get_architecture
from edgecnn.pipeline.training.recipes import TrainingOptions

_SMALL_STEM_BELOW = 64
"""Image size below which the standard stem, which divides it by four, leaves too little for the other layers."""


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width; one number is both."""
    return size if isinstance(size, tuple) else (size, size)


def fit_to_images(
    architecture: str, source: DataSource, options: TrainingOptions, *, has_weights: bool
) -> tuple[TrainingOptions, str | None]:
    """Return options with image size and stem, and a line that names what was chosen because of the images.

    Without an image size, images that are mostly smaller than half of the architecture's default keep about their own
    size. Enlarging them costs time and adds nothing. A small size also selects the small stem, if there is one. Given
    weights fit their own size and stem, so the defaults stay.

    Raises:
        UsageError: the architecture is unknown.
    """
    supported = get_architecture(architecture)
    size, stem = options.image_size, options.stem
    shorter: np.ndarray | None = getattr(source, "sides", None)  # only image folders have images of different sizes
    reason = None
    if (
        not has_weights
        and size is None
        and shorter is not None
        and len(shorter)
        and 2 * np.median(shorter) <= supported.image_size
    ):
        typical = int(np.median(shorter))
        size = max(supported.min_image_size, typical)
        if stem is None and size < _SMALL_STEM_BELOW and "small" in supported.stems:
            stem = "small"
        reason = f"--image-size {size}{' --stem small' if stem == 'small' else ''}: "
        reason += f"the training images are small (the shorter side is {typical} pixels at the median)"
    return replace(options, image_size=size or supported.image_size, stem=stem or "standard"), reason
