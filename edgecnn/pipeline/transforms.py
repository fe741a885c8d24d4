"""Preprocessing with torchvision's transforms, for training and for the PyTorch reference.

It is independent of a bundle's preprocessing and graph, so that a comparison with the reference detects their errors.
"""

import numpy as np
import torch
from torchvision.transforms import v2

from edgecnn.bundle.preprocessing import Preprocessing


def torchvision_transform(preprocessing: Preprocessing) -> v2.Transform:
    """Return torchvision's transforms for a preprocessing, from a Pillow image to a normalised tensor [C, H, W]."""
    steps: list[v2.Transform] = []
    if preprocessing.resize is not None:
        interpolation = v2.InterpolationMode(preprocessing.resize.interpolation)
        steps.append(v2.Resize(list(preprocessing.resize.size), interpolation=interpolation))
    if preprocessing.crop is not None:
        steps.append(v2.CenterCrop(list(preprocessing.crop)))
    steps += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    steps.append(v2.Normalize(list(preprocessing.mean), list(preprocessing.std)))
    return v2.Compose(steps)


def network_input(images: np.ndarray, preprocessing: Preprocessing) -> torch.Tensor:
    """Scale and normalise resized images: uint8 [N, H, W, C] to float32 [N, C, H, W]."""
    tensor = torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))  # the images may be read-only
    scaled = v2.functional.to_dtype(tensor, torch.float32, scale=True)
    normalized: torch.Tensor = v2.functional.normalize(scaled, list(preprocessing.mean), list(preprocessing.std))
    return normalized
