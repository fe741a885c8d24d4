"""Random small shifts, rotations and zooms, a different one for each image of a batch."""

import math

import torch
from torch.nn import functional

from edgecnn.pipeline.training.recipes import TrainingOptions


def augment(images: torch.Tensor, options: TrainingOptions, generator: torch.Generator) -> torch.Tensor:
    """Move each image by its own random affine map, bilinearly; what comes in from outside repeats the border.

    Args:
        images: float32 [N, C, H, W].
        options: how far an image may move.
        generator: where the randomness comes from.
    """
    count = len(images)

    def uniform(largest: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * largest

    angle, scale = uniform(math.radians(options.rotation)), 1 + uniform(options.zoom)
    # affine_grid's coordinates run from -1 to 1: a shift by the whole image is 2.
    shift_x, shift_y = uniform(2 * options.shift), uniform(2 * options.shift)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cosine, -sine, shift_x], 1), torch.stack([sine, cosine, shift_y], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
