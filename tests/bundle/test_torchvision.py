"""Tests that preprocessing equals torchvision's transforms, pixel for pixel, on photographs of odd sizes."""

import io
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photographs import CROPS, RESIZES, SIZES, built, fitted, photograph
from PIL import Image
from torchvision.transforms import v2

from edgecnn.bundle.choices import Fit, Interpolation
from edgecnn.bundle.decoding import Mode, decode
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.pipeline.transforms import network_input, torchvision_transform

INTERPOLATIONS: dict[Interpolation, v2.InterpolationMode] = {
    "nearest": v2.InterpolationMode.NEAREST,
    "bilinear": v2.InterpolationMode.BILINEAR,
    "bicubic": v2.InterpolationMode.BICUBIC,
    "lanczos": v2.InterpolationMode.LANCZOS,
    "box": v2.InterpolationMode.BOX,
    "hamming": v2.InterpolationMode.HAMMING,
}


def by_torchvision(picture: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Return the result of torchvision's transforms without normalization: uint8 [H, W, C]."""
    if preprocessing.resize is not None:
        mode = INTERPOLATIONS[preprocessing.resize.interpolation]
        picture = v2.Resize(list(preprocessing.resize.size), interpolation=mode)(picture)
    if preprocessing.crop is not None:
        picture = v2.CenterCrop(list(preprocessing.crop))(picture)
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def check(picture: Image.Image, preprocessing: Preprocessing) -> None:
    """Compare the pixels and the normalized input of one image with torchvision."""
    mine = preprocessing.images([picture])
    assert mine.dtype == np.uint8
    assert np.array_equal(mine[0], by_torchvision(picture, preprocessing))
    expected = torchvision_transform(preprocessing)(decode(picture, preprocessing.mode))
    torch.testing.assert_close(network_input(mine, preprocessing)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("resize", "interpolation", "mode"),
    [
        each if "bilinear" in each or (64,) in each else pytest.param(*each, marks=pytest.mark.slow)
        for each in itertools.product(RESIZES, INTERPOLATIONS, ["L", "RGB"])
    ],
)
def test_matches_torchvision(resize: tuple[int, ...] | None, interpolation: Interpolation, mode: Mode):
    for height, width in SIZES:
        picture = photograph(height, width, mode=mode)
        for crop in CROPS:
            check(picture, built(mode, resize, crop, interpolation))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_matches_torchvision_on_a_whole_photograph(interpolation: Interpolation, number: int):
    check(photograph(427, 640, number=number), built("RGB", (256,), (224, 224), interpolation))


sides = st.integers(1, 120)


@given(
    height=sides,
    width=sides,
    resize=st.none() | st.tuples(sides) | st.tuples(sides, sides),
    crop=st.none() | st.tuples(sides, sides),
    interpolation=st.sampled_from(list(INTERPOLATIONS)),
    mode=st.sampled_from(["L", "RGB"]),
)
def test_matches_torchvision_for_any_size(
    height: int,
    width: int,
    resize: tuple[int, ...] | None,
    crop: tuple[int, int] | None,
    interpolation: Interpolation,
    mode: Mode,
):
    check(photograph(height, width, mode=mode, number=1), built(mode, resize, crop, interpolation))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("side", [1, 32, 65])
def test_longer_matches_torchvision(side: int, interpolation: Interpolation):
    resize = v2.Resize(None, INTERPOLATIONS[interpolation], max_size=side)
    for height, width in SIZES:
        picture = photograph(height, width)
        if side * min(height, width) < max(height, width):
            continue  # torchvision fails where a side would be empty
        expected = np.asarray(resize(picture))
        assert np.array_equal(fitted("longer", (side,), interpolation).image(picture), expected)


@given(
    height=sides,
    width=sides,
    size=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    interpolation=st.sampled_from(["bilinear", "box", "opencv-bilinear", "opencv-area"]),
    fill=st.sampled_from([(0,), (114,), (124, 116, 104)]),
)
def test_letterbox_matches_the_reference(
    height: int, width: int, size: tuple[int, int], interpolation: Interpolation, fill: tuple[int, ...]
):
    preprocessing = fitted("letterbox", size, interpolation, fill)
    picture = photograph(height, width)
    pixels = preprocessing.image(picture)
    assert pixels.shape == (*size, 3)
    expected = torchvision_transform(preprocessing)(picture)
    torch.testing.assert_close(network_input(pixels[None], preprocessing)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
@pytest.mark.parametrize("fit", ["longer", "letterbox"])
def test_thin_images_keep_a_pixel(fit: Fit, size: tuple[int, int]):
    preprocessing = fitted(fit, (32,) if fit == "longer" else (32, 32))
    pixels = preprocessing.image(np.full((*size, 3), 200, np.uint8))
    assert pixels.max() == 200
    expected = torchvision_transform(preprocessing)(Image.new("RGB", size[::-1], (200, 200, 200)))
    assert expected.shape[1:] == pixels.shape[:2]


def test_matches_torchvision_after_decoding():
    files = []
    for number in (0, 1):
        buffer = io.BytesIO()
        photograph(211, 331, number=number).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    preprocessing = built("RGB", (96,), (64, 64), "bicubic")
    transform = torchvision_transform(preprocessing)
    expected = torch.stack([transform(decode(file, "RGB")) for file in files])
    torch.testing.assert_close(network_input(preprocessing.images(files), preprocessing), expected, rtol=0, atol=1e-6)
