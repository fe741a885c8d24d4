"""Crops of the two sample photographs in scikit-learn: real images for a proof if the user has none.

The crops have no classes, so a proof with them has agreement and logit errors, but no accuracy.
"""

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import MissingExtra
from edgecnn.hints import install_command
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.source import Split

PHOTOGRAPHS = "photographs"
"""Name of the source in records."""

COUNT = 40
SIDE = 288
"""Height and width of a crop, in pixels: larger than 256, so that ImageNet's resizing takes effect."""


def photographs(mode: Mode = "RGB") -> Split:
    """Return the same crops on each call, as a split without targets. In mode `RGBA`, alpha rises across them."""
    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        raise MissingExtra(f"the sample photographs need scikit-learn: {install_command('pipeline')}") from None
    pictures = load_sample_images().images
    random = np.random.default_rng(0)
    crops = []
    for index in range(COUNT):
        picture = np.asarray(pictures[index % len(pictures)], dtype=np.uint8)
        if mode == "RGBA":
            alpha = np.add.outer(*(np.linspace(0, 127.5, side) for side in picture.shape[:2]))
            picture = np.dstack((picture, alpha.astype(np.uint8)))
        top = int(random.integers(0, picture.shape[0] - SIDE + 1))
        left = int(random.integers(0, picture.shape[1] - SIDE + 1))
        crop = picture[top : top + SIDE, left : left + SIDE]
        # Rotate and mirror the crops, because the logits must differ between the images of a proof.
        crops.append(np.rot90(crop if index % 4 < 2 else crop[:, ::-1], k=int(random.integers(4))))
    return Split(PHOTOGRAPHS, "test", ArrayImages(np.stack(crops)), None)
