"""Digits with several labels: a CSV file of images, and a trained network."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgecnn.bundle.manifest import Network, Scores
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.models.registry import build
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.transforms import network_input

LABELS = ("even", "above 4", "prime")
SEVERAL = Scores("sigmoid", multi_label=True)
NETWORK = Network("lenet", len(LABELS), 1, (32, 32))
PREPROCESSING = Preprocessing("L", Resize((32, 32), "bilinear"), None, (0.306546,), (0.324042,))


def truth(digits: np.ndarray) -> np.ndarray:
    """Return the labels of digits [N], int64 [N, K] of 0 and 1. The digit 1 has none."""
    return np.stack([digits % 2 == 0, digits > 4, np.isin(digits, (2, 3, 5, 7))], axis=1).astype(np.int64)


def write_table(folder: Path) -> Path:
    """Write the digits as PNG files, and a CSV file with their labels. Return the CSV file."""
    (folder / "images").mkdir(parents=True)
    lines = [f"path,split,{','.join(LABELS)}"]
    for name in ("train", "test"):
        split = open_source("digits").split(name)
        for index, labels in enumerate(truth(split.known_targets())):
            path = f"images/{name}-{index}.png"
            Image.fromarray(np.asarray(split.images[index])).save(folder / path)
            lines.append(f"{path},{name},{','.join(map(str, labels))}")
    return write_lines(folder / "labels.csv", lines)


def images_of(table: Path, *digits: int) -> list[Path]:
    """Return a test image of each of these digits."""
    targets = open_source("digits").split("test").known_targets()
    return [table.parent / f"images/test-{int(np.flatnonzero(targets == digit)[0])}.png" for digit in digits]


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write a text file."""
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def trained(*, epochs: int = 3) -> TorchReference:
    """Return LeNet, trained on the training digits with binary cross entropy."""
    torch.manual_seed(0)
    split = open_source("digits").split("train")
    network = build(NETWORK)
    inputs = network_input(split.all_pixels(PREPROCESSING), PREPROCESSING)
    targets = torch.from_numpy(truth(split.known_targets())).float()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(32):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return TorchReference(NETWORK, network.state_dict(), LABELS, PREPROCESSING, "0" * 64, scores=SEVERAL)
