"""Fine-tuning: start from trained weights, with a new last layer for other classes."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edgecnn.bundle.manifest import Network
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import open_weights
from edgecnn.pipeline.models.registry import build, get_architecture
from edgecnn.pipeline.torch_reference import TorchReference, check_state
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.recipes import TrainingOptions
from edgecnn.pipeline.training.sizing import sides


def open_beginning(architecture: str, text: str, options: TrainingOptions, *, key: str | None = None) -> TorchReference:
    """Open the argument of `--weights`: a checkpoint folder, a file, or a torchvision weights entry.

    `key` is the entry of a file that has several sets of weights.

    Warns:
        WeightsNote: weights were unwrapped, or their normalization was assumed.

    Raises:
        UsageError: the file or entry does not exist.
        CheckpointError: it does not have this architecture's weights.
    """
    path = Path(text)
    if not path.is_dir():
        known = get_architecture(architecture)
        size = sides(options.image_size or known.image_size)
        described = WeightsOptions(  # training squashes images to the image size
            image_size=size, resize=size, crop=(), interpolation="bilinear", stem=options.stem, key=key
        )
        return open_weights(known, text, described)
    if key is not None:
        raise UsageError(f"--key chooses an entry of a weights file, {path} is a folder: remove it")
    reference = read_checkpoint(path).reference
    if reference.network.architecture != architecture:
        raise CheckpointError(f"{path} is a {reference.network.architecture} checkpoint, expected {architecture}")
    if reference.network.stem != options.stem:
        raise CheckpointError(
            f"{path} was trained with --stem {reference.network.stem}, found --stem {options.stem}: use the same stem"
        )
    return reference


def begin_with(beginning: TorchReference, network: nn.Module, described: Network) -> None:
    """Copy weights into a new network. For another number of classes, its heads keep their initial weights.

    Raises:
        CheckpointError: the weights do not match. The message names the keys.
    """
    mine, name = network.state_dict(), described.architecture
    found = dict(beginning.state)
    if beginning.network.num_classes != described.num_classes:
        found |= {key: mine[key] for key in _head_keys(described, mine)}
    check_state(name, mine, found)
    network.load_state_dict(mine | found)


def freeze(network: nn.Module, described: Network) -> None:
    """Freeze all layers but the last.

    Raises:
        UsageError: the last layer is unknown.
    """
    main = get_architecture(described.architecture).heads[:1]
    trained = _head_keys(described, network.state_dict(), main)
    if not trained:
        raise UsageError(
            f"the last layer of {described.architecture} is unknown: give its factory a parameter num_classes"
        )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)


def _head_keys(described: Network, keys: Iterable[str], heads: tuple[str, ...] | None = None) -> set[str]:
    """Return the keys of the layers that output the classes.

    For a module from elsewhere, these are the tensors whose shape depends on the number of classes.
    """
    known = get_architecture(described.architecture)
    if known.kind == "network":
        beginnings = tuple(f"{head}." for head in (known.heads if heads is None else heads))
        return {key for key in keys if key.startswith(beginnings)}
    with torch.device("meta"):
        mine, other = (
            build(replace(described, num_classes=described.num_classes + more)).state_dict() for more in (0, 1)
        )
    return {key for key, value in mine.items() if value.shape != other[key].shape}
