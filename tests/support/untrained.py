"""Bundles of networks with random weights, without self-test and proof."""

import dataclasses
from pathlib import Path

import torch

from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.explaining.explaining import unproven_bundle
from edgecnn.pipeline.models.registry import build, get_architecture
from edgecnn.pipeline.torch_reference import TorchReference


def untrained(
    name: str, folder: Path, *, side: int | tuple[int, int] | None = None, classes: int | None = None
) -> tuple[Bundle, TorchReference]:
    """Return a colour network with random weights, and the bundle of its graph in a folder."""
    torch.manual_seed(0)
    usual = get_architecture(name).usual(image_size=side)
    network = dataclasses.replace(usual, num_classes=classes or usual.num_classes, in_channels=3)
    labels = tuple(map(str, range(network.num_classes)))
    preprocessing = Preprocessing("RGB", Resize(network.image_size), None, (0.5,) * 3, (0.25,) * 3)
    reference = TorchReference(network, build(network).state_dict(), labels, preprocessing, "0" * 64)
    return unproven_bundle(reference, name, folder), reference
