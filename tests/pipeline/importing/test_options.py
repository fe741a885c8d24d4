"""Options of weights: what they mean together, what is assumed, and errors that name the option."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from edgecnn.bundle.manifest import Network
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import UsageError
from edgecnn.pipeline.importing.options import MEAN, STD, WeightsOptions, network_size, preprocessing_of
from edgecnn.pipeline.transforms import network_input


def resolved(
    *, architecture: str = "resnet18", channels: int = 3, entry: Preprocessing | None = None, **options: Any
) -> tuple[Preprocessing, list[str]]:
    described = WeightsOptions(**options)
    network = Network(architecture, 10, channels, network_size(described, 224))
    return preprocessing_of(network, described, entry=entry)


@pytest.mark.parametrize(
    ("options", "resize", "crop"),
    [
        ({}, Resize((256,)), (224, 224)),
        ({"image_size": (32, 32)}, Resize((37,)), (32, 32)),
        ({"image_size": (192, 256)}, Resize((219,)), (192, 256)),
        ({"image_size": (192, 256), "resize": (192,)}, Resize((192,)), (192, 256)),
        ({"resize": (300,), "crop": (280, 280)}, Resize((300,)), (280, 280)),
        ({"resize": (192, 256)}, Resize((192, 256)), None),
        ({"resize": (192, 256), "crop": ()}, Resize((192, 256)), None),
        ({"resize": (192, 256), "image_size": (192, 256)}, Resize((192, 256)), None),
        ({"resize": (256, 256), "image_size": (224, 224)}, Resize((256, 256)), (224, 224)),
        ({"resize": (192, 256), "crop": (160, 224)}, Resize((192, 256)), (160, 224)),
        ({"resize_mode": "squash"}, Resize((224, 224)), None),
        ({"resize_mode": "squash", "resize": (96,)}, Resize((96, 96)), None),
        ({"resize_mode": "squash", "image_size": (64, 96), "crop": ()}, Resize((64, 96)), None),
        ({"resize_mode": "shorter", "resize": (256,)}, Resize((256,)), (224, 224)),
        ({"resize_mode": "longer", "image_size": (64, 96)}, Resize((96,), fit="longer"), (64, 96)),
        ({"resize_mode": "longer", "resize": (80,), "crop": (96, 96)}, Resize((80,), fit="longer"), (96, 96)),
        ({"resize_mode": "letterbox"}, Resize((224, 224), fit="letterbox"), None),
        (
            {"resize_mode": "letterbox", "resize": (64, 96), "fill": (114,), "interpolation": "opencv-bilinear"},
            Resize((64, 96), "opencv-bilinear", "letterbox", (114,)),
            None,
        ),
        ({"interpolation": "bicubic"}, Resize((256,), "bicubic"), (224, 224)),
        ({"resize": (100,), "crop": (224, 224)}, Resize((100,)), (224, 224)),  # the user says that images are padded
    ],
)
def test_options_give_the_preprocessing(options: dict[str, Any], resize: Resize, crop: tuple[int, int] | None):
    found, _ = resolved(**options)
    assert (found.resize, found.crop) == (resize, crop)


def test_a_stated_preprocessing_of_grey_images_is_kept():
    stated = Preprocessing("L", Resize((8, 8)), None, (0.5,), (1.0,))
    assert resolved(channels=1, entry=stated) == (stated, [])


def test_a_stated_normalisation_of_other_channels_is_replaced():
    stated = Preprocessing("RGB", Resize((8, 8)), None, MEAN, STD)
    found, assumed = resolved(channels=1, entry=stated)
    assert (len(found.mean), assumed) == (1, ["mean 0.449", "std 0.226"])


def test_images_have_the_networks_size():
    picture = load_sample_images().images[0]
    for options in (
        {"resize": (48, 96)},
        {"resize_mode": "letterbox", "image_size": (48, 96)},
        {"resize_mode": "longer", "image_size": (48, 96)},
        {"resize": (64,), "crop": (48, 96)},
        {"image_size": (96, 48)},
    ):
        found, _ = resolved(**options)
        assert found.image(picture).shape[:2] == network_size(WeightsOptions(**options), 224)


def test_squashing_equals_torchvision():
    picture = Image.fromarray(load_sample_images().images[1])
    found, _ = resolved(resize=(48, 96), crop=(), interpolation="bicubic")
    expected = v2.Resize((48, 96), v2.InterpolationMode.BICUBIC)(picture)
    assert np.array_equal(found.image(picture), np.asarray(expected))


def test_names_everything_that_is_assumed():
    assert resolved()[1] == [
        "image size 224 × 224",
        "resize of the shorter side to 256",
        "crop 224 × 224",
        "interpolation bilinear",
        "mean 0.485,0.456,0.406",
        "std 0.229,0.224,0.225",
    ]
    assert resolved(resize_mode="letterbox", interpolation="box", mean=MEAN, std=STD)[1] == [
        "image size 224 × 224",
        "resize to 224 × 224",
        "no crop",
        "fill 0",
    ]
    assert resolved(architecture="googlenet")[1][-1].startswith("transform_input=True")


def test_names_nothing_that_is_given():
    given = {"resize": (256,), "crop": (224, 224), "interpolation": "bilinear", "mean": MEAN, "std": STD}
    assert resolved(**given)[1] == []
    assert resolved(**given, architecture="googlenet", transform_input=False)[1] == []


ENTRY = Preprocessing("RGB", Resize((232,), "bicubic"), (224, 224), (0.5,) * 3, (0.5,) * 3)


def test_options_change_a_torchvision_entry():
    assert resolved(entry=ENTRY) == (ENTRY, [])
    changed, assumed = resolved(entry=ENTRY, interpolation="box", std=(0.25,) * 3)
    assert changed == dataclasses.replace(ENTRY, resize=Resize((232,), "box"), std=(0.25,) * 3)
    assert assumed == []
    squashed, assumed = resolved(entry=ENTRY, resize=(96, 96))
    assert (squashed.resize, squashed.crop) == (Resize((96, 96), "bicubic"), None)
    assert assumed == ["image size 96 × 96", "no crop"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"crop": (192, 192), "image_size": (224, 224)}, "--crop 192,192 and --image-size 224,224 differ"),
        ({"resize_mode": "shorter", "resize": (224, 320)}, "--resize-mode shorter sets one side"),
        ({"resize_mode": "longer", "resize": (224, 320)}, "--resize-mode longer sets one side"),
        ({"fill": (114,)}, "--fill is the padding of --resize-mode letterbox"),
        ({"fill": (1, 2), "resize_mode": "letterbox"}, "--fill is not valid: fill must have 1 or 3 numbers"),
        ({"crop": ()}, "--crop none needs images of one size"),
        ({"crop": (), "resize_mode": "longer"}, "--crop none needs images of one size"),
        ({"crop": (), "resize": (256, 256), "image_size": (224, 224)}, "--resize 256,256 differs from --image-size"),
        ({"resize": (200,)}, "--resize 200 is smaller than the image size of 224 × 224"),
        ({"resize": (200, 300), "image_size": (224, 224)}, "--resize 200,300 is smaller than the image size"),
        ({"resize": (5000, 5000)}, "size must be at most 4096"),
        ({"resize": (4000,), "crop": (5000, 5000)}, "crop must be in 1..4096"),
        (
            {"mean": (123.675, 116.28, 103.53)},
            r"--mean is of pixels in \[0, 1\], found --mean 123.675.* --pixel-range 0-255",
        ),
        ({"std": (58.4, 57.1, 57.4)}, r"--std is of pixels in \[0, 1\], found --std 58.4.* --pixel-range 0-255"),
        ({"mean": (float("nan"),) * 3}, "--mean must contain finite numbers, found --mean nan,nan,nan"),
        ({"std": (0.2, 0.2, float("inf"))}, "--std must contain finite numbers"),
        ({"std": (0.2, 0.0, 0.2)}, "--std must be at least 0.001"),
        ({"std": (0.2, -0.2, 0.2)}, "--std must be at least 0.001"),
        ({"mean": (0.5,)}, "--mean must have 3 numbers, one for each channel of the weights, found --mean 0.5"),
        ({"std": (0.5,) * 3, "channels": 1}, "--std must have 1 number, one for each channel"),
        ({"transform_input": True}, "--transform-input is a property of GoogLeNet, found resnet18"),
        ({"transform_input": False}, "--transform-input is a property of GoogLeNet, found resnet18"),
        ({"transform_input": True, "architecture": "googlenet", "channels": 1}, "--transform-input is for colour"),
    ],
)
def test_rejects_options_that_do_not_fit(options: dict[str, Any], named: str):
    with pytest.raises(UsageError, match=named):
        resolved(**options)


@pytest.mark.parametrize("transform", [True, False])
@pytest.mark.parametrize(("mean", "std"), [(MEAN, STD), ((0.4, 0.5, 0.45), (0.2, 0.3, 0.25))])
def test_transform_input_equals_torchvisions(transform: bool, mean: tuple[float, ...], std: tuple[float, ...]):
    with torch.device("meta"):
        theirs = torchvision.models.googlenet(init_weights=False, transform_input=transform)
    preprocessing, _ = resolved(architecture="googlenet", mean=mean, std=std, transform_input=transform)
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    normalized = v2.functional.normalize(torch.from_numpy(images).permute(0, 3, 1, 2) / 255, list(mean), list(std))
    expected = theirs._transform_input(normalized)
    torch.testing.assert_close(network_input(images, preprocessing), expected, rtol=0, atol=1e-5)


def test_usual_googlenet_has_plain_halves():
    found, _ = resolved(architecture="googlenet")
    assert (found.mean, found.std) == ((0.5,) * 3, (0.5,) * 3)
