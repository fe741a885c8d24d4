"""Python code with networks, as a user writes it, and their weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgecnn.pipeline.user_network import named_architecture

CODE = '''
import torch
from torch import nn
from layers import body

print("imported")


class Net(nn.Module):
    def __init__(self, num_classes=10, in_channels=3):
        super().__init__()
        self.body = body(in_channels)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x):
        return self.head(self.body(x))


class Fixed(nn.Module):
    """It takes images of 32 x 32 pixels only, and has a head of 1x1 convolutions."""

    def __init__(self, num_classes: int, in_chans=3, image_size=(32, 32)):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 4, 3, padding=1)
        self.flat = nn.Linear(4 * image_size[0] * image_size[1], 8)
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, x):
        return self.head(self.flat(self.stem(x).flatten(1))[:, :, None, None]).flatten(1)


def binary():
    return Net(1)


def grey():
    return Net(3, 1)


class Dictionary(Net):
    def forward(self, x):
        return {"logits": super().forward(x), "features": x}


class Pair(Net):
    def forward(self, x):
        return super().forward(x), x


class Softmax(Net):
    def forward(self, x):
        return torch.softmax(super().forward(x), 1)


class Sigmoid(Net):
    def __init__(self):
        super().__init__()
        self.last = nn.Sequential(nn.Sigmoid(), nn.Flatten())

    def forward(self, x):
        return self.last(super().forward(x))


class Map(Net):
    def forward(self, x):
        return x


class Branching(Net):
    def forward(self, x):
        if x.sum() > 0:
            x = x + 1
        return super().forward(x)


def compiled(num_classes=10):
    return torch.compile(nn.DataParallel(Net(num_classes)))


def failing(num_classes=10):
    return 1 / 0


def number():
    return 3


def width(width):
    return Net()


def lazy():
    return nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten())


def leaving():
    raise SystemExit(3)


network = Net()
'''
LAYERS = """
from torch import nn


def body(channels):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(),
    )
"""


def write_code(folder: Path) -> Path:
    """Write `net.py` and `layers.py`, which it imports, and return the path of the first."""
    (folder / "layers.py").write_text(LAYERS)
    path = folder / "net.py"
    path.write_text(CODE)
    return path


def save_weights(word: str, path: Path, *, change: Callable[[Any], Any] = lambda state: state, **numbers: Any) -> Path:
    """Save the weights that a factory returns with some numbers of classes and channels."""
    torch.manual_seed(0)
    known = named_architecture(word)
    network = known.usual(image_size=(32, 32))
    described = network.__class__(**(vars(network) | numbers))
    torch.save(change(known.build(described).state_dict()), path)
    return path
