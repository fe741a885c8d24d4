"""Tests of preprocessing: pixel for pixel against torchvision's transforms on photographs of odd sizes."""

import io
import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from edgecnn.bundle.choices import Fit, Interpolation
from edgecnn.bundle.decoding import Mode, decode
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import ImageTooLarge
from edgecnn.files import schema
from edgecnn.pipeline.transforms import network_input, torchvision_transform

INTERPOLATIONS: dict[Interpolation, v2.InterpolationMode] = {
    "nearest": v2.InterpolationMode.NEAREST,
    "bilinear": v2.InterpolationMode.BILINEAR,
    "bicubic": v2.InterpolationMode.BICUBIC,
    "lanczos": v2.InterpolationMode.LANCZOS,
    "box": v2.InterpolationMode.BOX,
    "hamming": v2.InterpolationMode.HAMMING,
}
SIZES = [(1, 1), (1, 37), (61, 1), (2, 3), (31, 31), (33, 32), (47, 101), (199, 97), (224, 225), (427, 640)]
RESIZES = [None, (1,), (17,), (64,), (33, 50), (64, 64)]
CROPS = [None, (1, 1), (32, 32), (33, 20), (51, 64)]


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """Two photographs of 427 × 640 pixels: a temple in China and a flower."""
    return tuple(load_sample_images().images)


def photograph(height: int, width: int, *, mode: Mode = "RGB", number: int = 0) -> Image.Image:
    """Return the centre of a photograph, or a scaled photograph if the size is larger."""
    picture = Image.fromarray(photographs()[number]).convert(mode)
    if height > picture.height or width > picture.width:
        return picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def built(
    mode: Mode,
    resize: tuple[int, ...] | None,
    crop: tuple[int, int] | None,
    interpolation: Interpolation = "bilinear",
) -> Preprocessing:
    mean, std = ((0.5,), (0.25,)) if mode == "L" else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return Preprocessing(mode, Resize(resize, interpolation) if resize else None, crop, mean, std)


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


def fitted(
    fit: Fit, size: tuple[int, ...], interpolation: Interpolation = "bilinear", fill: tuple[int, ...] = (0,)
) -> Preprocessing:
    return Preprocessing("RGB", Resize(size, interpolation, fit, fill), None, (0.5,) * 3, (0.25,) * 3)


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


def test_letterbox_centres_and_fills():
    pixels = fitted("letterbox", (6, 4), "nearest", (114,)).image(np.full((3, 4, 3), 200, np.uint8))
    assert pixels[:, 0, 0].tolist() == [114, 200, 200, 200, 114, 114]


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
@pytest.mark.parametrize("fit", ["longer", "letterbox"])
def test_thin_images_keep_a_pixel(fit: Fit, size: tuple[int, int]):
    preprocessing = fitted(fit, (32,) if fit == "longer" else (32, 32))
    pixels = preprocessing.image(np.full((*size, 3), 200, np.uint8))
    assert pixels.max() == 200
    expected = torchvision_transform(preprocessing)(Image.new("RGB", size[::-1], (200, 200, 200)))
    assert expected.shape[1:] == pixels.shape[:2]


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
