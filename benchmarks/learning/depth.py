"""Training loss by depth, with and without skips, with one recipe.

He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385), figures 1 and 6.
"""

import torch
from torch.nn import functional

from benchmarks.learning.networks import DeepNetwork, Design
from benchmarks.learning.runs import curve, images, kept, origin, seeded, write
from edgecnn.learning.architectures.measurements import Depths, DepthSeries

_DEPTHS, _WIDTHS = (8, 20, 44), (8, 16, 32)
_IMAGES, _EPOCHS, _BATCH, _RATE, _SEEDS = 4096, 10, 128, 0.05, 3


def depth() -> None:
    """Run the missing trainings, and write `depth.json`."""
    series = tuple(_series(Design(each, _WIDTHS, skips=skips)) for each in _DEPTHS for skips in (False, True))
    write("depth", Depths(origin("depth"), _WIDTHS, 14, _IMAGES, _EPOCHS, _BATCH, _RATE, _SEEDS, series))


def _series(design: Design) -> DepthSeries:
    kind = "skips" if design.skips else "plain"
    losses = [
        kept(
            f"depth-{design.depth}-{kind}-{seed}",
            {"widths": design.widths, "images": _IMAGES, "epochs": _EPOCHS, "batch": _BATCH, "rate": _RATE},
            lambda seed=seed: _train(design, seed),  # type: ignore[misc]
        )
        for seed in range(_SEEDS)
    ]
    parameters = sum(each.numel() for each in DeepNetwork(design).parameters())
    return DepthSeries(design.depth, design.skips, parameters, curve(losses))


def _train(design: Design, seed: int) -> list[float]:
    """Return the mean training loss of each epoch."""
    seeded(seed)
    pixels, targets = images("fashion-mnist", "train", _IMAGES, scale=0.5)
    network = DeepNetwork(design).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=_RATE, momentum=0.9, weight_decay=1e-4)
    losses = []
    for _ in range(_EPOCHS):
        total = 0.0
        for batch in torch.split(torch.randperm(_IMAGES), _BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(pixels[batch]), targets[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        losses.append(total / _IMAGES)
    return losses
