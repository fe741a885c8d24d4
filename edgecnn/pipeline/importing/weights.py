"""Import weights: a state dict of PyTorch, a safetensors file, or a torchvision weights entry.

Files are read without executing code from them: `torch.load` with `weights_only=True`, or safetensors.
"""

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torchvision.models import get_model_weights

from edgecnn.bundle.manifest import Network
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import CheckpointError, UsageError, WeightsNote
from edgecnn.files.digest import digest_bytes
from edgecnn.pipeline.importing.options import WeightsOptions, network_size, preprocessing_of
from edgecnn.pipeline.importing.state_dict import find_state
from edgecnn.pipeline.importing.tensors import check_kinds, convert
from edgecnn.pipeline.importing.weights_file import read_weights_file
from edgecnn.pipeline.models.registry import build, check_network, get_architecture
from edgecnn.pipeline.torch_reference import TorchReference, check_state


def open_weights(architecture: str, text: str, options: WeightsOptions) -> TorchReference:
    """Open the argument of `--weights`: a file, or the name of a torchvision weights entry of the architecture.

    Warns:
        WeightsNote: see `from_file`.

    Raises:
        UsageError: the architecture, file or entry is unknown, or the options do not match the weights.
        CheckpointError: the file does not have this architecture's weights.
    """
    get_architecture(architecture)
    path = Path(text)
    if path.is_file():
        return from_file(architecture, path, options)
    if path.exists():
        raise CheckpointError(f"{path} is {_not_a_file(path)}")
    return _from_torchvision(architecture, text, options)


def from_file(architecture: str, path: Path, options: WeightsOptions) -> TorchReference:
    """Read weights from a file. They determine the numbers of classes and channels.

    Warns:
        WeightsNote: something was unwrapped or adapted, or a property that the file does not contain was assumed. One
            note for each of the two.

    Raises:
        UsageError: the options do not match the weights, or the file has several sets of weights.
        CheckpointError: the file is damaged, or does not have this architecture's weights.
    """
    known = get_architecture(architecture)
    guess = Network(architecture, 2, 3, network_size(options, known.image_size), options.stem or "standard")
    content, value = read_weights_file(path)
    with torch.device("meta"):
        expected = build(guess).state_dict()
    found = find_state(path, value, known, expected, options.key)
    check_kinds(path, found.state)
    network = _describe(guess, found.state, expected)
    state, notes = _take(network, found.state, path)
    _check_described(network, path)
    labels = _labels(options, network.num_classes, path)
    preprocessing, assumed = preprocessing_of(network, options)
    if found.notes or notes:
        warnings.warn(f"{path}: {', '.join((*found.notes, *notes))}", WeightsNote, stacklevel=2)
    if assumed:
        text = f"{path} does not say how images are prepared; assumed: {', '.join(assumed)}"
        warnings.warn(text, WeightsNote, stacklevel=2)
    digest = digest_bytes(content)
    if found.choice:
        digest = digest_bytes(f"{digest}\n{found.choice}".encode())
    return TorchReference(network, state, labels, preprocessing, digest)


def _describe(guess: Network, state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> Network:
    """Return `guess` with the number of classes from the last weights and of channels from the first weights."""
    weights = [key for key in expected if key.endswith(".weight")]
    first, last = state.get(weights[0]), state.get(weights[-1])
    if first is not None and first.ndim == 4:
        guess = replace(guess, in_channels=first.shape[1])
    if last is not None and last.ndim == 2 and len(last) > 0:
        guess = replace(guess, num_classes=len(last))
    return guess


def _check_described(network: Network, path: Path) -> None:
    """Check that a network classifies grey or colour images into at least two classes."""
    channels = network.in_channels
    if channels not in (1, 3):
        later = ", such as RGBA, which is not supported yet" if channels == 4 else ""
        raise CheckpointError(
            f"{path} takes images with {channels} channels{later}: expected 1 channel for grey or 3 for colour images"
        )
    if network.num_classes < 2:
        raise CheckpointError(
            f"{path} has one class: expected at least two; train with two outputs, one for each answer, instead of one "
            f"sigmoid output"
        )


def _take(
    network: Network, state: dict[str, torch.Tensor], path: Path
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Check tensors against a network and convert them. Heads for training that do not fit are left out."""
    with torch.device("meta"):
        expected = build(network).state_dict()
    different = [key for key in state if key not in expected or state[key].shape != expected[key].shape]
    optional = get_architecture(network.architecture).optional_keys
    left_out = [prefix for prefix in optional if any(key.startswith(prefix) for key in different)]
    kept = {key: value for key, value in state.items() if not key.startswith(tuple(left_out))}
    check_state(network.architecture, expected, kept)
    converted, notes = convert(path, kept, expected)
    names = ", ".join(prefix.rstrip(".") for prefix in left_out)
    return converted, (*notes, *([f"left out {names} (used in training only)"] if names else []))


def _from_torchvision(architecture: str, name: str, options: WeightsOptions) -> TorchReference:
    """Read a torchvision entry's weights, labels, resize, crop and interpolation."""
    try:
        entries: Any = get_model_weights(architecture)
    except ValueError:
        raise UsageError(
            f"{name} is not a file, and torchvision has no weights for {architecture}: pass a weights file"
        ) from None
    if name not in entries.__members__:
        choices = ", ".join(entries.__members__)
        raise UsageError(
            f"{name} is neither a file nor a torchvision weights entry for {architecture}: choose {choices}"
        )
    if options.key is not None or options.stem == "small":
        raise UsageError(f"--key and --stem are for weights files, {name} is a torchvision weights entry: remove them")
    entry = entries[name]
    theirs = preset_preprocessing(entry.transforms())
    assert theirs.crop is not None
    size = network_size(options, theirs.crop[0]) if options.has_geometry else theirs.crop
    network = Network(architecture, len(entry.meta["categories"]), 3, size)
    check_network(network)
    preprocessing, assumed = preprocessing_of(network, options, entry=theirs)
    try:
        state = entry.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot download {entry.url}: {error}; download it on another machine and pass the file"
        ) from None
    if assumed:
        warnings.warn(f"{name} of torchvision; assumed: {', '.join(assumed)}", WeightsNote, stacklevel=2)
    labels = _labels(
        replace(options, labels=options.labels or tuple(entry.meta["categories"])), network.num_classes, name
    )
    return TorchReference(network, dict(state), labels, preprocessing, hashlib.sha256(entry.url.encode()).hexdigest())


def preset_preprocessing(preset: Any) -> Preprocessing:
    """Return the preprocessing of a torchvision weights entry, from its `ImageClassification` preset."""
    (crop,) = preset.crop_size
    return Preprocessing(
        "RGB",
        Resize(tuple(preset.resize_size), preset.interpolation.value),
        (crop, crop),
        tuple(preset.mean),
        tuple(preset.std),
    )


def _labels(options: WeightsOptions, classes: int, weights: Path | str) -> tuple[str, ...]:
    """Return the class names: those of the options, or the indices."""
    labels = options.labels
    if labels is None:
        return tuple(str(index) for index in range(classes))
    if len(labels) != classes:
        names = "1 name" if len(labels) == 1 else f"{len(labels)} names"
        raise UsageError(
            f"{options.labels_from} has {names}, {weights} has {classes} classes: expected one name for each class, in "
            f"the order of the network's outputs"
        )
    return labels


def _not_a_file(path: Path) -> str:
    """Return what a path is that is not a file, and what to do."""
    if not path.is_dir():
        return "not a plain file: expected a weights file"
    if (path / "checkpoint.json").is_file():
        return "a checkpoint of edgecnn: pass it without --weights and architecture"
    inside = sorted(
        each.name for each in path.iterdir() if each.suffix in (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
    )
    return f"a folder: pass {path / inside[0]}" if inside else "a folder: expected a weights file"
