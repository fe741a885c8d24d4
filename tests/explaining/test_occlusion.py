"""Tests of occlusion against a computation by hand."""

import base64
import io

import numpy as np
from PIL import Image

from edgecnn.explaining.occlusion import attention_of, occlude


def brightness(images: np.ndarray) -> np.ndarray:
    """Return two scores: the mean of the upper left quarter, and that of the rest of the image."""
    scaled = images.astype(np.float64) / 255
    half = images.shape[1] // 2
    return np.stack([scaled[:, :half, :half].mean(axis=(1, 2, 3)), scaled[:, half:].mean(axis=(1, 2, 3))], axis=1)


def test_the_drop_is_where_the_class_is():
    drops = occlude(brightness, np.full((28, 28, 3), 255, np.uint8), (0, 0, 0))
    assert drops.shape == (14, 14, 2)
    assert (drops[:6, :6, 0] > 0).all()
    assert (drops[8:, :, 0] == 0).all()
    assert (drops[8:, :, 1] > 0).all()
    assert (drops[:6, :, 1] == 0).all()
    # A patch of 4 × 4 pixels inside the quarter of 14 × 14 takes 16 / 196 of its mean.
    assert np.isclose(drops[2, 2, 0], 16 / 196)


def test_each_cell_is_the_mean_over_its_patches():
    image = np.random.default_rng(0).integers(0, 255, (9, 15, 1), np.uint8)
    weights = np.random.default_rng(1).normal(size=(9, 15))

    def probabilities(images: np.ndarray) -> np.ndarray:
        return (images[..., 0] * weights).sum(axis=(1, 2))[:, None]

    drops = occlude(probabilities, image, [7], batch=5)
    rows = [round(i * 9 / 9) for i in range(10)]
    columns = [round(i * 15 / 14) for i in range(15)]
    expected, counts = np.zeros((9, 14)), np.zeros((9, 14))
    for row in range(8):
        for column in range(13):
            place = slice(rows[row], rows[row + 2]), slice(columns[column], columns[column + 2])
            drop = ((image[..., 0][place].astype(float) - 7) * weights[place]).sum()
            expected[row : row + 2, column : column + 2] += drop
            counts[row : row + 2, column : column + 2] += 1
    assert np.allclose(drops[..., 0], expected / counts)


def test_runs_are_few_and_reported():
    calls: list[int] = []
    steps: list[tuple[str, int, int]] = []

    def probabilities(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return brightness(images)

    occlude(
        probabilities,
        np.zeros((224, 224, 3), np.uint8),
        (0, 0, 0),
        progress=lambda stage, done, total, note="": steps.append((stage, done, total)),
    )
    assert sum(calls) == 1 + 169
    assert max(calls) == 8
    assert steps[-1] == ("occlusion", 169, 169)


def test_a_single_pixel_is_one_cell():
    drops = occlude(lambda images: images.reshape(len(images), 1) / 255, np.full((1, 1, 1), 255, np.uint8), [51])
    assert drops.tolist() == [[[0.8]]]
    assert occlude(brightness, np.zeros((2, 1, 3), np.uint8), (0, 0, 0)).shape == (2, 1, 2)


def test_the_picture_contains_zero():
    drops = np.array([[[0.2], [0.3]], [[0.5], [0.1]]])
    found = attention_of(drops, 0)
    assert (found.method, found.target, found.picture.low, found.picture.high) == ("occlusion", 0, 0.0, 0.5)
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.picture.png))))
    assert levels.tolist() == [[102, 153], [255, 51]]
