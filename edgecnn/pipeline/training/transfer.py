"""Fine-tuning: start from trained weights, with a new last layer for other classes."""

from pathlib import Path

from torch import nn

from edgecnn.bundle.manifest import Network
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import open_weights
from edgecnn.pipeline.models.registry import get_architecture
from edgecnn.pipeline.torch_reference import TorchReference, check_state
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.recipes import TrainingOptions


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
        size = options.image_size or get_architecture(architecture).image_size
        described = WeightsOptions(  # training squashes images to the image size
            image_size=(size, size), resize=(size, size), crop=(), interpolation="bilinear", stem=options.stem, key=key
        )
        return open_weights(architecture, text, described)
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
        heads = tuple(f"{head}." for head in get_architecture(name).heads)
        found |= {key: value for key, value in mine.items() if key.startswith(heads)}
    check_state(name, mine, found)
    network.load_state_dict(mine | found)


def freeze(network: nn.Module, architecture: str) -> None:
    """Freeze all layers but the last.

    Raises:
        UsageError: the architecture does not define its heads.
    """
    heads = get_architecture(architecture).heads
    if not heads:
        raise UsageError(f"{architecture} does not define its last layer: register it with `heads`")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(f"{heads[0]}."))
