"""The preprocessing of every torchvision classifier, compared with torchvision's, on real photographs."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images
from torchvision.models import get_model_weights, list_models
from torchvision.transforms._presets import ImageClassification

from edgecnn.pipeline.importing.weights import preset_preprocessing
from edgecnn.pipeline.transforms import network_input


def presets() -> dict[str, ImageClassification]:
    """Return every distinct preset, named after its parameters."""
    found = {}
    for model in list_models():
        for entry in get_model_weights(model):
            make = entry.transforms
            if isinstance(make, partial) and make.func is ImageClassification:
                preset = make()
                name = f"{preset.resize_size[0]}-{preset.crop_size[0]}-{preset.interpolation.value}-{preset.mean[0]}"
                found[name] = preset
    return found


PRESETS = presets()
USUAL = "256-224-bilinear-0.485"


def photograph(number: int, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    picture = Image.fromarray(load_sample_images().images[number])
    return picture if box is None else picture.crop(box)


def turned() -> bytes:
    """Return a photograph with rotated pixels and EXIF orientation, like an upright camera photograph."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    photograph(1).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


PICTURES = {
    "colour": lambda: photograph(0),
    "grey": lambda: photograph(1).convert("L"),
    "tall": lambda: photograph(0, (200, 0, 260, 427)),
    "wide": lambda: photograph(1, (0, 200, 640, 231)),
    "tiny": lambda: photograph(0, (300, 200, 307, 205)),
    "exif-rotated": turned,
}


def test_presets_cover_our_networks():
    assert len(PRESETS) >= 15
    assert {USUAL, "232-224-bilinear-0.485"} <= set(PRESETS)
    assert {preset.interpolation.value for preset in PRESETS.values()} == {"bilinear", "bicubic"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind) if kind == "colour" or name == USUAL else pytest.param(name, kind, marks=pytest.mark.slow)
        for name in PRESETS
        for kind in PICTURES
    ],
)
def test_pixels_match_the_preset(name: str, kind: str):
    preset, picture = PRESETS[name], PICTURES[kind]()
    mine = preset_preprocessing(preset)
    opened = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    expected = preset(ImageOps.exif_transpose(opened).convert("RGB"))
    found = network_input(mine.image(picture)[None], mine)[0]
    std = torch.tensor(preset.std)[:, None, None]
    assert found.shape == expected.shape
    assert float(((found - expected) * std).abs().max()) < 1e-6  # one pixel level is 0.0039, so the pixels are equal
    levels = (found * std + torch.tensor(preset.mean)[:, None, None]) * 255
    assert np.array_equal(levels.round().to(torch.uint8).permute(1, 2, 0).numpy(), mine.image(picture))
