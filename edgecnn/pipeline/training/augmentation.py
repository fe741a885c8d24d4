"""Augmentation: random shift, rotation, zoom and mirroring, drawn for each image of a batch."""

import math

import torch
from torch.nn import functional

from edgecnn.pipeline.training.recipes import TrainingOptions


def move(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Transform images, float32 [N, C, H, W], by affine maps with bilinear interpolation and border padding."""
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def draw(count: int, size: tuple[int, int], options: TrainingOptions, generator: torch.Generator) -> torch.Tensor:
    """Draw affine maps for `count` images, float32 [N, 2, 3], from output to input coordinates.

    `size` is their height and width in pixels.

    Without rotation and zoom, shifts are whole pixels, because interpolation would blur the images.
    """

    def uniform(largest: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * largest

    height, width = size
    angle, scale = uniform(math.radians(options.rotation)), 1 + uniform(options.zoom)
    shifts = [uniform(options.shift), uniform(options.shift)]
    if not options.rotation and not options.zoom:
        shifts = [torch.round(shift * side) / side for shift, side in zip(shifts, (width, height), strict=True)]
    mirror = torch.where(uniform(1.0) < 0, -1.0, 1.0) if options.flip else torch.ones(count)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # affine_grid's coordinates are in -1..1: a shift by the whole image is 2.
    rows = [
        torch.stack([cosine * mirror, -sine * (height / width), 2 * shifts[0]], 1),
        torch.stack([sine * mirror * (width / height), cosine, 2 * shifts[1]], 1),
    ]
    return torch.stack(rows, 1)
