"""Find the numbers of classes and channels of a network, from its weights and from a run on zeros."""

from dataclasses import replace

import torch

from edgecnn.bundle.decoding import MODES
from edgecnn.bundle.manifest import Network
from edgecnn.errors import CheckpointError, EdgecnnError, UsageError
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.models.outputs import count_outputs, input_channels
from edgecnn.pipeline.models.registry import Architecture, build, get_architecture
from edgecnn.pipeline.user_code import failure

State = dict[str, torch.Tensor]


def describe(guess: Network, state: State, expected: State) -> Network:
    """Return `guess` with the numbers of classes and channels that weights have.

    Args:
        guess: a network of the architecture, with any numbers.
        state: the weights.
        expected: the tensors of `guess`.
    """
    known = get_architecture(guess.architecture)
    return _by_place(guess, state, expected) if known.kind == "network" else _by_difference(guess, state, expected)


def _by_place(guess: Network, state: State, expected: State) -> Network:
    """Read the number of classes from the last weights and of channels from the first weights."""
    weights = [key for key in expected if key.endswith(".weight")]
    first, last = state.get(weights[0]), state.get(weights[-1])
    if first is not None and first.ndim == 4:
        guess = replace(guess, in_channels=first.shape[1])
    if last is not None and last.ndim == 2 and len(last) > 0:
        guess = replace(guess, num_classes=len(last))
    return guess


def _by_difference(guess: Network, state: State, expected: State) -> Network:
    """Compare the shapes with the tensors of `guess`: the head differs in its rows, the first layer in its columns."""
    optional = get_architecture(guess.architecture).optional_keys
    different = [
        (mine.shape, state[key].shape)
        for key, mine in expected.items()
        if key in state and not key.startswith(optional) and state[key].shape != mine.shape
    ]
    for mine, found in different:
        if len(mine) == len(found) == 4 and (mine[0], mine[2:]) == (found[0], found[2:]) and mine[1] and found[1]:
            guess = replace(guess, in_channels=guess.in_channels * found[1] // mine[1])
            break
    for mine, found in reversed(different):
        if len(found) > 0 and mine[1:] == found[1:] and mine[0] == guess.num_classes:
            return replace(guess, num_classes=found[0])
    return guess


def check_channels(network: Network, path: object) -> None:
    """Check that a network takes grey, colour or RGBA images; raise `CheckpointError` otherwise."""
    if network.in_channels not in MODES:
        channels = "1 channel" if network.in_channels == 1 else f"{network.in_channels} channels"
        raise CheckpointError(
            f"{path} takes images with {channels}: expected 1 channel for grey, 3 for colour, or 4 for colour and alpha"
        )


def run_once(known: Architecture, network: Network, options: WeightsOptions) -> Network:
    """Return the network with the numbers of channels and outputs that a run on zeros shows.

    The module runs on the device `meta`, without values, or on the CPU if it cannot.

    Raises:
        UsageError: the module cannot take images of the default size, so that `--image-size` is missing.
        EdgecnnError: the module fails, or its output is not [N, K].
    """
    with torch.device("meta"):
        module = build(network)
    if "in_channels" not in known.parameters:
        network = replace(network, in_channels=input_channels(module, network.in_channels))
    check_channels(network, known.name)
    try:
        return replace(network, num_classes=count_outputs(module, network))
    except EdgecnnError:
        raise
    except Exception:  # its control flow may depend on values
        module = build(network)
    try:
        return replace(network, num_classes=count_outputs(module, network))
    except EdgecnnError:
        raise
    except Exception as error:  # the module can raise any exception
        raise _failed(known, network, error, options) from None


def _failed(known: Architecture, network: Network, error: Exception, options: WeightsOptions) -> EdgecnnError:
    """Return the error of a module that fails on zeros."""
    size = " × ".join(map(str, network.image_size))
    reason = failure(error, known.source)
    text = f"{known.name} fails on images of {size} pixels and {network.in_channels} channels: {reason}"
    if options.image_size is None and not options.crop:
        return UsageError(f"{text}; give the network's --image-size")
    return EdgecnnError(f"{text}; does the network take this --image-size?")
