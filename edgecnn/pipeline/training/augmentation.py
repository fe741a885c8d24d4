"""Random small shifts, rotations, zooms and mirrorings, different ones for each image of a batch."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from edgecnn.pipeline.training.recipes import TrainingOptions


@dataclass(frozen=True)
class Movements:
    """How each image of a batch is moved: affine maps, float32 [N, 2, 3], from its new pixels to its old ones."""

    maps: torch.Tensor

    def part(self, indices: slice) -> "Movements":
        """Return the movements of some of the images."""
        return Movements(self.maps[indices])

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Move images, float32 [N, C, H, W], bilinearly; what comes in from outside repeats the border."""
        grid = functional.affine_grid(self.maps, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def draw(count: int, size: int, options: TrainingOptions, generator: torch.Generator) -> Movements:
    """Draw the movements of `count` images of `size` pixels.

    Where images are only shifted and mirrored, they are so by whole pixels: interpolation would blur them.
    """

    def uniform(largest: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * largest

    angle, scale = uniform(math.radians(options.rotation)), 1 + uniform(options.zoom)
    shifts = [uniform(options.shift), uniform(options.shift)]
    if not options.rotation and not options.zoom:
        shifts = [torch.round(shift * size) / size for shift in shifts]
    mirror = torch.where(uniform(1.0) < 0, -1.0, 1.0) if options.flip else torch.ones(count)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # affine_grid's coordinates run from -1 to 1: a shift by the whole image is 2.
    rows = [
        torch.stack([cosine * mirror, -sine, 2 * shifts[0]], 1),
        torch.stack([sine * mirror, cosine, 2 * shifts[1]], 1),
    ]
    return Movements(torch.stack(rows, 1))
