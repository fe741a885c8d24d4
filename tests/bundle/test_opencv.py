"""OpenCV's filters in numpy: every pixel equals that of `cv2.resize`."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from edgecnn.bundle.opencv import resize_area, resize_bilinear
from edgecnn.bundle.preprocessing import Resize

cv2 = pytest.importorskip("cv2")

FILTERS: dict[str, tuple[Callable[..., np.ndarray], int]] = {
    "opencv-bilinear": (resize_bilinear, cv2.INTER_LINEAR),
    "opencv-area": (resize_area, cv2.INTER_AREA),
}
sides = st.integers(1, 70)


def by_opencv(pixels: np.ndarray, height: int, width: int, flag: int) -> np.ndarray:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=flag)).reshape(height, width, pixels.shape[2])


def noise(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Return random pixels: with them a wrong rounding shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", FILTERS)
@given(height=sides, width=sides, new_height=sides, new_width=sides, channels=st.sampled_from([1, 3, 4]))
def test_matches_opencv_for_any_size(
    name: str, height: int, width: int, new_height: int, new_width: int, channels: int
):
    resize, flag = FILTERS[name]
    pixels = noise(height, width, channels)
    expected = by_opencv(pixels, new_height, new_width, flag)
    assert np.array_equal(resize(pixels, new_height, new_width), expected)


@pytest.mark.parametrize("name", FILTERS)
@given(new_height=sides, new_width=sides, rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0, 99))
def test_matches_opencv_for_whole_factors(
    name: str, new_height: int, new_width: int, rows: int, columns: int, seed: int
):
    resize, flag = FILTERS[name]
    pixels = noise(new_height * rows, new_width * columns, 3, seed)
    expected = by_opencv(pixels, new_height, new_width, flag)
    assert np.array_equal(resize(pixels, new_height, new_width), expected)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(224, 224), (192, 256), (427, 224), (500, 700), (213, 320), (1, 1)])
@pytest.mark.parametrize("number", [0, 1])
def test_matches_opencv_on_photographs(name: str, size: tuple[int, int], number: int):
    resize, flag = FILTERS[name]
    pixels = load_sample_images().images[number]
    assert np.array_equal(resize(pixels, *size), by_opencv(pixels, *size, flag))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILTERS)
def test_matches_opencv_on_large_images(name: str):
    resize, flag = FILTERS[name]
    pixels = noise(2448, 3264, 3)
    for size in ((224, 224), (256, 341), (816, 1088), (1000, 3000)):
        assert np.array_equal(resize(pixels, *size), by_opencv(pixels, *size, flag)), size


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_resizes_pillow_images(mode: str):
    picture = Image.fromarray(load_sample_images().images[0]).convert(mode)
    resized = Resize((100, 150), "opencv-bilinear").apply(picture)
    assert (resized.mode, resized.size) == (mode, (150, 100))
    expected = cv2.resize(np.asarray(picture), (150, 100), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(np.asarray(resized), expected)


@pytest.mark.parametrize("size", [(640, 640), (224, 160), (33, 500)])
@pytest.mark.parametrize("crop", [(0, 0, 640, 427), (0, 0, 311, 427), (5, 5, 16, 400)])
def test_letterbox_matches_padding_with_opencv(size: tuple[int, int], crop: tuple[int, int, int, int]):
    """The arithmetic is that of Ultralytics' `LetterBox`: rounded sides, the odd pixel below and on the right."""
    picture = Image.fromarray(load_sample_images().images[0]).crop(crop)
    ratio = min(size[0] / picture.height, size[1] / picture.width)
    width, height = max(round(picture.width * ratio), 1), max(round(picture.height * ratio), 1)
    down, right = (size[0] - height) / 2, (size[1] - width) / 2
    borders = (round(down - 0.1), round(down + 0.1), round(right - 0.1), round(right + 0.1))
    scaled = cv2.resize(np.asarray(picture), (width, height), interpolation=cv2.INTER_LINEAR)
    expected = cv2.copyMakeBorder(scaled, *borders, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    found = Resize(size, "opencv-bilinear", "letterbox", (114,)).apply(picture)
    assert np.array_equal(np.asarray(found), expected)
