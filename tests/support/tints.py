"""Photographs with a tint, and a LeNet that names the tint. The order of the colours and the brightness matter."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from photographs import photographs
from PIL import Image
from torch import nn

from edgecnn.bundle.manifest import Network
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.checking.subject import Subject
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.torch_reference import TorchReference

LABELS = ("blue", "dark", "green", "light", "red")
PREPROCESSING = Preprocessing("RGB", Resize((36,)), (32, 32), (0.5,) * 3, (0.5,) * 3)
OPTIONS = ["--image-size", "32", "--resize", "36", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]
"""The options that state this preprocessing."""

_CHANNELS = {"red": 0, "green": 1, "blue": 2}


def tinted(label: str, number: int) -> Image.Image:
    """Return a crop of a photograph, of 48 to 96 pixels, with the colour or the brightness of a class."""
    generator = np.random.default_rng((LABELS.index(label), number))
    height, width = generator.integers(48, 96, 2)
    top, left = generator.integers(0, 427 - height), generator.integers(0, 640 - width)
    grey = photographs()[number % 2][top : top + height, left : left + width].mean(axis=2, keepdims=True)
    pixels = np.repeat(grey * 0.3 + {"dark": 10, "light": 160}.get(label, 85), 3, axis=2)
    if label in _CHANNELS:
        pixels[:, :, _CHANNELS[label]] += generator.uniform(15, 60)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_tints(folder: Path, *, train: int = 1, test: int = 16) -> Path:
    """Write a folder of image files, some of them JPEG, and return it."""
    for split, count, first in (("train", train, 0), ("test", test, 1000)):
        for label in LABELS:
            place = folder / split / label
            place.mkdir(parents=True)
            for number in range(count):
                name, quality = (f"{number}.jpg", {"quality": 90}) if number % 3 == 0 else (f"{number}.png", {})
                tinted(label, first + number).save(place / name, **quality)
    return folder


@cache
def trained() -> dict[str, torch.Tensor]:
    """Return the weights of a LeNet for tints, trained for a few seconds."""
    torch.manual_seed(0)
    images = [PREPROCESSING.image(tinted(label, number)) for label in LABELS for number in range(2000, 2040)]
    inputs = (torch.tensor(np.stack(images)).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    targets = torch.arange(5).repeat_interleave(40)
    network = LeNet(5, 3)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for _ in range(10):
        for batch in torch.randperm(len(inputs)).split(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return network.state_dict()


def reference(preprocessing: Preprocessing = PREPROCESSING) -> TorchReference:
    """Return the trained LeNet with a stated preprocessing."""
    return TorchReference(Network("lenet", 5, 3, (32, 32)), trained(), LABELS, preprocessing, "d" * 64)


def subject(preprocessing: Preprocessing = PREPROCESSING) -> Subject:
    """Return the trained LeNet with a stated preprocessing, opened."""
    found = reference(preprocessing)
    session = found.open()
    logits = session.logits_of(tinted(label, 3000 + number) for label in LABELS for number in range(5))
    return Subject(found, session, (32, 32), logits)
