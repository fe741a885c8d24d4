"""Choose images of a data source to measure speed on."""

import numpy as np

from edgecnn.errors import UsageError
from edgecnn.pipeline.data.pictures import Pictures
from edgecnn.pipeline.data.sources import open_source
from edgecnn.tuning.measuring.given_images import GivenImages

COUNT = 500
"""Images that are chosen by default."""


def sample(data: str, count: int = COUNT, seed: int = 0) -> GivenImages:
    """Choose at most `count` images of a data source at random, without regard to their classes.

    They are images of the test split, or any image if the source has no classes. The same seed chooses the same images.
    Images that cannot be decoded are skipped.

    Args:
        data: a data source's name, an image folder, or images without classes; see `open_source`.
        count: number of images.
        seed: determines the choice.

    Warns:
        SourceWarning: images are skipped, or files are left out.

    Raises:
        UsageError: `count` is below 1, or `seed` is negative.
        SourceError: the source is unknown, or has no images.
    """
    if count < 1:
        raise UsageError(f"the number of images must be at least 1, found {count}")
    if seed < 0:
        raise UsageError(f"the seed must be at least 0, found {seed}")
    source = open_source(data, needs_classes=False)
    split = source.everything() if isinstance(source, Pictures) else source.split("test")
    order = np.random.default_rng(seed).permutation(len(split))
    chosen = split.take((int(index) for index in order), count)
    return GivenImages(chosen.reference(), chosen.all_pixels)
