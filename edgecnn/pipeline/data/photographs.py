"""Crops of the two photographs that scikit-learn ships: real pixels to prove a graph on, where nobody has others.

Nobody knows what class they are, so a proof on them holds agreement and logit errors, and no accuracy.
"""

import numpy as np

from edgecnn.errors import MissingExtra
from edgecnn.pipeline.data.source import ArrayImages, Split

COUNT = 40
SIDE = 288
"""Height and width of a crop, in pixels: more than 256, so that ImageNet's resizing has something to do."""


def photographs() -> Split:
    """Return the crops, as a split without targets; the same ones each time."""
    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        raise MissingExtra("the photographs come with scikit-learn: pip install 'edgecnn[pipeline]'") from None
    pictures = load_sample_images().images
    random = np.random.default_rng(0)
    crops = []
    for index in range(COUNT):
        picture = np.asarray(pictures[index % len(pictures)], dtype=np.uint8)
        top = int(random.integers(0, picture.shape[0] - SIDE + 1))
        left = int(random.integers(0, picture.shape[1] - SIDE + 1))
        crop = picture[top : top + SIDE, left : left + SIDE]
        # Turned and mirrored: two photographs are few, and logits must differ between the images of a proof.
        crops.append(np.rot90(crop if index % 4 < 2 else crop[:, ::-1], k=int(random.integers(4))))
    return Split("photographs", "test", ArrayImages(np.stack(crops)), None)
