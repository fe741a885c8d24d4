"""Train a network on a data source and write its checkpoint."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgecnn.bundle.folder import check_output
from edgecnn.bundle.manifest import FileEntry, Network, utc_now
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import SourceError, TrainingError
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.models.registry import build, check_network, get_architecture
from edgecnn.pipeline.reference import network_input
from edgecnn.pipeline.training.augmentation import augment
from edgecnn.pipeline.training.checkpoint import FORMAT, RECORD, CheckpointRecord, Epoch, write_checkpoint
from edgecnn.pipeline.training.recipes import TrainingOptions
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent

_EVALUATION_BATCH = 256

_CHUNK = 256
_LEAST_STD = 1e-3
"""Below a quarter of a grey level."""


@dataclass(frozen=True)
class Trained:
    """What training has come to: the checkpoint's digest, and top-1 on the test split."""

    digest: str
    test_top1: float
    test_images: int


def train(
    architecture: str,
    source: DataSource,
    out: Path,
    *,
    source_name: str,
    options: TrainingOptions,
    force: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train a network and write its checkpoint folder.

    Args:
        architecture: name in the registry.
        source: images to train and to test on.
        out: the checkpoint folder.
        source_name: the source as the user named it; `export` opens it again.
        options: how to train.
        force: replace an existing checkpoint.
        progress: told of every epoch.

    Raises:
        UsageError: no such architecture, it cannot take such images, or `out` stands already.
        SourceError: images are missing or damaged.
        TrainingError: the loss is not a number any more.
    """
    chosen = get_architecture(architecture)
    size = options.image_size or chosen.image_size
    described = Network(architecture, len(source.labels), _channels(source), size, options.stem)
    check_network(described)
    check_output(out, marker=RECORD, force=force)
    training, test = source.split("train"), source.split("test")
    if len(source.labels) < 2:
        raise SourceError(f"{source_name} has {len(source.labels)} class: a classifier needs at least two")
    plain = Preprocessing(
        source.mode, Resize((size, size)), None, (0.0,) * _channels(source), (1.0,) * _channels(source)
    )
    progress("reading", 0, len(training))
    pixels = training.all_pixels(plain)
    progress("reading", len(training), len(training))
    preprocessing = _with_statistics(plain, pixels)
    for start in range(0, len(test), _CHUNK):  # a damaged test image is found now, not after the training
        progress("checking", start, len(test))
        test.pixels(range(start, min(start + _CHUNK, len(test))), plain)
    torch.manual_seed(options.seed)
    network = build(described)
    history = _fit(
        network,
        pixels=pixels,
        targets=training.known_targets(),
        preprocessing=preprocessing,
        options=options,
        progress=progress,
    )
    top1 = _top1(network, test, preprocessing)
    record = CheckpointRecord(
        format=FORMAT,
        network=described,
        labels=source.labels,
        preprocessing=preprocessing,
        source=source_name,
        training=training.reference(),
        test=test.reference(),
        test_top1=top1,
        options=options,
        history=tuple(history),
        created=utc_now(),
        versions=versions(),
        weights=FileEntry("", 0),
    )
    return Trained(write_checkpoint(out, record, network, force=force), top1, len(test))


def _channels(source: DataSource) -> int:
    return 1 if source.mode == "L" else 3


def _with_statistics(plain: Preprocessing, pixels: np.ndarray) -> Preprocessing:
    """Take mean and standard deviation of the training pixels, per channel, scaled to [0, 1]."""
    mean = pixels.mean(axis=(0, 1, 2), dtype=np.float64) / 255
    std = pixels.std(axis=(0, 1, 2), dtype=np.float64) / 255
    if std.max() == 0:
        raise SourceError("all training images are one and the same colour: there is nothing to learn")
    std[std < _LEAST_STD] = 1.0  # an empty channel stays empty: dividing by its noise would make noise of it
    return Preprocessing(
        plain.mode,
        plain.resize,
        plain.crop,
        mean=tuple(round(float(value), 6) for value in mean),
        std=tuple(round(float(value), 6) for value in std),
    )


def _fit(
    network: nn.Module,
    *,
    pixels: np.ndarray,
    targets: np.ndarray,
    preprocessing: Preprocessing,
    options: TrainingOptions,
    progress: Progress,
) -> list[Epoch]:
    generator = torch.Generator().manual_seed(options.seed)
    steps = math.ceil(len(pixels) / options.batch_size)
    optimizer = torch.optim.AdamW(_parameter_groups(network, options.weight_decay), lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=max(2, options.epochs * steps)
    )
    loss_function = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
    network.train()
    history: list[Epoch] = []
    for number in range(options.epochs):
        total_loss, right = 0.0, 0
        order = torch.randperm(len(pixels), generator=generator).numpy()
        for start in range(0, len(order), options.batch_size):
            chosen = order[start : start + options.batch_size]
            images = augment(network_input(pixels[chosen], preprocessing), options, generator)
            answers = torch.from_numpy(targets[chosen])
            logits = network(images)
            loss = loss_function(logits, answers)
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss became {loss.item()} in epoch {number + 1}: lower --learning-rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.item() * len(chosen)
            right += int((logits.argmax(dim=1) == answers).sum())
        history.append(Epoch(total_loss / len(pixels), right / len(pixels)))
        note = f"loss {history[-1].loss:.3f}, accuracy {history[-1].accuracy:.1%}"
        progress("training", number + 1, options.epochs, note)
    network.eval()
    return history


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay weights only: shrinking a bias or a norm's scale regularises nothing."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _top1(network: nn.Module, split: Split, preprocessing: Preprocessing) -> float:
    right = 0
    with torch.inference_mode():
        for start in range(0, len(split), _EVALUATION_BATCH):
            indices = range(start, min(start + _EVALUATION_BATCH, len(split)))
            logits = network(network_input(split.pixels(indices, preprocessing), preprocessing))
            right += int((logits.argmax(dim=1).numpy() == split.known_targets()[indices.start : indices.stop]).sum())
    return right / len(split)
