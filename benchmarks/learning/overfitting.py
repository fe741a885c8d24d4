"""A small network on few images: it learns them by heart, and dropout, augmentation and more images help.

Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout: A Simple Way to Prevent Neural Networks from
Overfitting, JMLR 15, 2014.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional

from benchmarks.learning.runs import curve, images, kept, origin, seeded, write
from edgecnn.learning.architectures.measurements import Overfitting, OverfittingSeries

_VALIDATION, _BATCH, _RATE, _SEEDS = 2000, 32, 1e-3, 3
_STEPS, _EVALUATIONS, _SMALL = 900, 30, 200
_SHIFT = 1


@dataclass(frozen=True)
class Variant:
    """What differs between the trainings; see `OverfittingSeries`."""

    images: int = _SMALL
    dropout: float = 0.0
    augmentation: bool = False


VARIANTS = (Variant(), Variant(dropout=0.5), Variant(augmentation=True), Variant(images=4000))


def overfitting() -> None:
    """Run the missing trainings, and write `overfitting.json`."""
    series = tuple(map(_series, VARIANTS))
    every = _STEPS // _EVALUATIONS
    steps = tuple(range(every, _STEPS + 1, every))
    parameters = sum(each.numel() for each in _network(0).parameters())
    write("overfitting", Overfitting(origin("overfitting"), 14, _VALIDATION, _BATCH, steps, parameters, _SEEDS, series))


def _series(variant: Variant) -> OverfittingSeries:
    name = f"overfitting-{variant.images}-{variant.dropout}-{'augmented' if variant.augmentation else 'plain'}"
    options = asdict(variant) | {"steps": _STEPS, "rate": _RATE, "shift": _SHIFT, "batch": _BATCH}
    runs = [kept(f"{name}-{seed}", options, lambda seed=seed: _train(variant, seed)) for seed in range(_SEEDS)]  # type: ignore[misc]
    curves = (curve([run[name] for run in runs]) for name in runs[0])
    return OverfittingSeries(variant.images, variant.dropout, variant.augmentation, *curves)


def _network(dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(32 * 7 * 7, 128),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(128, 10),
    )


def _train(variant: Variant, seed: int) -> dict[str, list[float]]:
    """Return the losses and accuracies, at equal distances of steps."""
    seeded(seed)
    pixels, targets = images("fashion-mnist", "train", variant.images, scale=0.5)
    unseen = images("fashion-mnist", "test", _VALIDATION, scale=0.5)
    network = _network(variant.dropout)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    found: dict[str, list[float]] = {
        "training_loss": [],
        "validation_loss": [],
        "training_accuracy": [],
        "validation_accuracy": [],
    }
    for step in range(1, _STEPS + 1):
        network.train()
        batch = torch.randint(variant.images, (_BATCH,))
        seen = _augmented(pixels[batch]) if variant.augmentation else pixels[batch]
        optimizer.zero_grad()
        functional.cross_entropy(network(seen), targets[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % (_STEPS // _EVALUATIONS) == 0:
            for name, part in (("training", (pixels[:_VALIDATION], targets[:_VALIDATION])), ("validation", unseen)):
                loss, accuracy = _evaluated(network, *part)
                found[f"{name}_loss"].append(loss)
                found[f"{name}_accuracy"].append(accuracy)
    return found


def _augmented(pixels: torch.Tensor) -> torch.Tensor:
    """Return images that are shifted by up to one pixel and mirrored, each at random."""
    padded = functional.pad(pixels, (_SHIFT,) * 4, mode="replicate")
    size = pixels.shape[-1]
    shifts = torch.randint(2 * _SHIFT + 1, (len(pixels), 2)).tolist()
    moved = [image[:, y : y + size, x : x + size] for image, (y, x) in zip(padded, shifts, strict=True)]
    return torch.stack([image.flip(-1) if torch.rand(()) < 0.5 else image for image in moved])


def _evaluated(network: nn.Module, pixels: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    network.eval()
    with torch.inference_mode():
        logits = network(pixels)
    loss = functional.cross_entropy(logits, targets)
    return float(loss), float((logits.argmax(1) == targets).float().mean())
