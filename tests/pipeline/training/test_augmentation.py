"""Augmentation: each image moves differently, within the options."""

import torch

from edgecnn.pipeline.training.augmentation import draw, move
from edgecnn.pipeline.training.recipes import TrainingOptions

STILL = TrainingOptions(shift=0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_moves_each_image_differently():
    options = TrainingOptions(shift=0.08, rotation=10, zoom=0.1)
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 12:20, 12:20] = 1
    moved = move(image.repeat(16, 1, 1, 1), draw(16, (32, 32), options, generator()))
    assert moved.shape == (16, 1, 32, 32)
    assert len({tuple(m.flatten().tolist()) for m in moved}) == 16
    assert abs(moved.sum(dim=(1, 2, 3)) / 64 - 1).max() < 0.35


def test_no_augmentation_keeps_the_images():
    images = torch.rand(4, 3, 9, 9)
    torch.testing.assert_close(move(images, draw(4, (9, 9), STILL, generator())), images, atol=1e-5, rtol=0)


def test_shifts_by_whole_pixels():
    images = torch.rand(32, 1, 32, 32)
    moved = move(images, draw(32, (32, 32), TrainingOptions(shift=2.1 / 32), generator()))
    shifts = set()
    for before, after in zip(images, moved, strict=True):
        inner = after[:, 4:-4, 4:-4]
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.allclose(before[:, 4 + dy : 28 + dy, 4 + dx : 28 + dx], inner, atol=1e-4)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 10


def test_mirrors_about_half_of_the_images():
    images = torch.rand(64, 1, 8, 8)
    moved = move(images, draw(64, (8, 8), TrainingOptions(shift=0, flip=True), generator()))
    mirrored = [torch.allclose(after, before.flip(-1), atol=1e-4) for before, after in zip(images, moved, strict=True)]
    same = [torch.allclose(after, before, atol=1e-4) for before, after in zip(images, moved, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 20 < sum(mirrored) < 44


def test_parts_of_a_batch_move_like_the_whole():
    options = TrainingOptions(rotation=10, zoom=0.1, flip=True)
    images = torch.rand(6, 1, 8, 8)
    maps = draw(6, (8, 8), options, generator())
    torch.testing.assert_close(move(images[2:5], maps[2:5]), move(images, maps)[2:5])


def test_rotation_keeps_shapes_of_images_that_are_not_square():
    """A square in a wide image stays a square: its sides keep their length in pixels."""
    options = TrainingOptions(shift=0, rotation=45)
    maps = draw(8, (20, 50), options, generator())
    pixels = torch.tensor([50.0, 20.0])  # one unit of affine_grid's coordinates is half of a side
    sides = maps[:, :, :2] * pixels[None, :, None] / pixels[None, None, :]
    torch.testing.assert_close(sides @ sides.transpose(1, 2), torch.eye(2).expand(8, 2, 2))
