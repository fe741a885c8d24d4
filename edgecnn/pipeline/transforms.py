"""Preprocessing with torchvision's transforms, for training and for the PyTorch reference.

It is independent of a bundle's preprocessing and graph, so that a comparison with the reference detects their errors.
The exceptions are OpenCV's filters, which torchvision does not have: their tests compare with OpenCV itself.
"""

from functools import partial

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from edgecnn.bundle.preprocessing import Preprocessing, Resize, scale


def torchvision_transform(preprocessing: Preprocessing) -> v2.Transform:
    """Return torchvision's transforms for a preprocessing, from a Pillow image to a normalised tensor [C, H, W]."""
    steps: list[v2.Transform] = []
    if preprocessing.resize is not None:
        steps.append(_resize(preprocessing.resize))
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


def _resize(resize: Resize) -> v2.Transform:
    if resize.fit is None and not resize.interpolation.startswith("opencv"):
        return v2.Resize(list(resize.size), interpolation=v2.InterpolationMode(resize.interpolation))
    return v2.Lambda(partial(_resized, resize=resize))


def _resized(image: Image.Image, resize: Resize) -> Image.Image:
    """Resize in a way that torchvision's `Resize` does not have."""
    height, width = _size(image, resize)
    if not resize.interpolation.startswith("opencv"):
        mode = v2.InterpolationMode(resize.interpolation)
        image = v2.functional.resize(image, [height, width], interpolation=mode)
    elif (height, width) != (image.height, image.width):
        image = scale(image, height, width, resize.interpolation)
    if resize.fit == "letterbox":
        down, right = resize.size[0] - height, resize.size[1] - width
        sides = [right // 2, down // 2, right - right // 2, down - down // 2]
        image = v2.functional.pad(image, sides, fill=list(resize.fill))
    return image


def _size(image: Image.Image, resize: Resize) -> tuple[int, int]:
    """Return the height and width to which an image is scaled."""
    if resize.fit == "letterbox":
        ratio = min(resize.size[0] / image.height, resize.size[1] / image.width)
        return max(round(ratio * image.height), 1), max(round(ratio * image.width), 1)
    if len(resize.size) == 2:
        return resize.size[0], resize.size[1]
    basis = (max if resize.fit == "longer" else min)(image.size)
    return max(resize.size[0] * image.height // basis, 1), max(resize.size[0] * image.width // basis, 1)
