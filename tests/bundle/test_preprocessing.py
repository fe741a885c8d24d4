"""Tests of preprocessing: the images that it accepts, the values that it rejects, and the sizes that it keeps."""

from pathlib import Path

import numpy as np
import pytest
from photographs import CROPS, RESIZES, SIZES, built, fitted, photograph
from PIL import Image

from edgecnn.bundle.decoding import Mode
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import ImageTooLarge
from edgecnn.files import schema


def test_letterbox_centres_and_fills():
    pixels = fitted("letterbox", (6, 4), "nearest", (114,)).image(np.full((3, 4, 3), 200, np.uint8))
    assert pixels[:, 0, 0].tolist() == [114, 200, 200, 200, 114, 114]


@pytest.mark.parametrize(
    ("resize", "added"),
    [
        (Resize((32,)), {}),
        (Resize((32,), fit="longer"), {"fit": "longer"}),
        (Resize((32, 48), fit="letterbox", fill=(114,)), {"fit": "letterbox", "fill": [114]}),
    ],
)
def test_writes_new_fields_only_if_used(resize: Resize, added: dict[str, object]):
    written = schema.plain(resize)
    assert written == {"size": list(resize.size), "interpolation": "bilinear"} | added
    assert schema.read(Resize, written) == resize


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (((32, 32), "bilinear", "longer"), "size must contain 1"),
        (((32,), "bilinear", "letterbox"), "size must contain 2"),
        (((32,), "bilinear", None, (1,)), "fill is for letterbox only"),
        (((32, 32), "bilinear", "letterbox", (256,)), "levels in 0..255"),
        (((32, 32), "bilinear", "letterbox", ()), "levels in 0..255"),
    ],
)
def test_rejects_values_that_do_not_fit(arguments: tuple, named: str):
    with pytest.raises(ValueError, match=named):
        Resize(*arguments)


def test_accepts_every_kind_of_image(tmp_path: Path):
    picture = photograph(97, 61)
    picture.save(tmp_path / "photo.png")
    content = (tmp_path / "photo.png").read_bytes()
    first, *others = built("RGB", (40,), (32, 32)).images(
        [picture, np.asarray(picture), tmp_path / "photo.png", str(tmp_path / "photo.png"), content]
    )
    assert all(np.array_equal(first, other) for other in others)


def test_stacks_images_in_order():
    pictures = [photograph(50, 70), photograph(33, 20), photograph(61, 61, number=1)]
    preprocessing = built("RGB", (32, 24), None)
    images = preprocessing.images(iter(pictures))
    assert (images.shape, images.dtype) == ((3, 32, 24, 3), np.uint8)
    for image, picture in zip(images, pictures, strict=True):
        assert np.array_equal(image, preprocessing.image(picture))


def test_stacks_grey_images_with_one_channel():
    assert built("L", (32, 24), None).images([photograph(50, 70)]).shape == (1, 32, 24, 1)


def test_rejects_images_of_different_sizes():
    with pytest.raises(ValueError, match="same shape"):
        built("RGB", None, None).images([photograph(5, 5), photograph(5, 6)])


def test_pads_a_smaller_image_with_black():
    image = built("L", None, (4, 5)).image(np.full((2, 2), 200, np.uint8))
    expected = np.zeros((4, 5), np.uint8)
    expected[1:3, 1:3] = 200
    assert np.array_equal(image[:, :, 0], expected)


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1)])
def test_rejects_a_thin_image_that_scales_too_large(size: tuple[int, int], tmp_path: Path):
    thin = Image.new("RGB", size)
    with pytest.raises(ImageTooLarge, match="scales to"):
        built("RGB", (256,), (224, 224)).image(thin)
    path = tmp_path / "thin.png"
    thin.save(path)
    with pytest.raises(ImageTooLarge) as raised:
        built("RGB", (256,), (224, 224)).image(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_rejects_a_size_beyond_the_limit():
    with pytest.raises(ValueError, match="at most 4096"):
        Resize((4097, 10))


@pytest.mark.parametrize("size", [(), (0,), (-1,), (32, 0), (1, 2, 3)])
def test_rejects_an_invalid_size(size: tuple[int, ...]):
    with pytest.raises(ValueError, match="one or two positive numbers"):
        Resize(size)


@pytest.mark.parametrize(
    ("mode", "crop", "mean", "std", "named"),
    [
        ("L", None, (0.5, 0.5, 0.5), (0.5,), "1 numbers each for mode L"),
        ("L", None, (0.5,), (), "1 numbers each for mode L"),
        ("RGB", None, (0.5,), (0.5,), "3 numbers each for mode RGB"),
        ("RGB", None, (0.5,) * 3, (0.5,) * 4, "3 numbers each for mode RGB"),
        ("L", None, (0.5,), (0.0,), "std must be positive"),
        ("RGB", None, (0.5,) * 3, (0.5, -0.5, 0.5), "std must be positive"),
        ("L", None, (float("nan"),), (0.5,), "must be finite"),
        ("L", None, (0.5,), (float("inf"),), "must be finite"),
        ("L", (0, 32), (0.5,), (0.5,), "crop must be in"),
        ("L", (32, -1), (0.5,), (0.5,), "crop must be in"),
        ("L", (32, 4097), (0.5,), (0.5,), "crop must be in"),
    ],
)
def test_rejects_invalid_values(
    mode: Mode, crop: tuple[int, int] | None, mean: tuple[float, ...], std: tuple[float, ...], named: str
):
    with pytest.raises(ValueError, match=named):
        Preprocessing(mode, None, crop, mean, std)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_mode_sets_the_number_of_channels(mode: Mode, channels: int):
    assert built(mode, None, None).channels == channels
    assert built(mode, None, None).image(photograph(3, 4)).shape == (3, 4, channels)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("resize", RESIZES)
def test_keeps_detects_unchanged_sizes(resize: tuple[int, ...] | None, crop: tuple[int, int] | None):
    preprocessing = built("RGB", resize, crop)
    for size in (*SIZES[1:], (17, 30), (64, 64), (33, 50), (51, 64), (32, 32)):  # resizing never changes a single pixel
        pixels = np.asarray(photograph(*size))
        found = preprocessing.image(pixels)
        same = found.shape == pixels.shape and np.array_equal(found, pixels)
        assert preprocessing.keeps(*size) == same, size


@pytest.mark.parametrize("resize", [Resize((64,), fit="longer"), Resize((48, 64), fit="letterbox", fill=(9,))])
def test_keeps_detects_fitting_sizes(resize: Resize):
    preprocessing = Preprocessing("RGB", resize, None, (0.5,) * 3, (0.5,) * 3)
    for size in ((48, 64), (64, 48), (64, 64), (24, 32), (64, 10)):
        pixels = np.asarray(photograph(*size))
        found = preprocessing.image(pixels)
        assert preprocessing.keeps(*size) == (found.shape == pixels.shape and np.array_equal(found, pixels)), size
