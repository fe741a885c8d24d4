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
from edgecnn.pipeline.importing.describing import check_channels, describe, run_once
from edgecnn.pipeline.importing.heads import labels_of, scores_of
from edgecnn.pipeline.importing.options import WeightsOptions, network_size, preprocessing_of
from edgecnn.pipeline.importing.state_dict import find_state
from edgecnn.pipeline.importing.tensors import check_kinds, convert, digest_state
from edgecnn.pipeline.importing.weights_file import read_weights_file
from edgecnn.pipeline.models.registry import Architecture, build, check_network, get_architecture
from edgecnn.pipeline.models.words import is_packaged
from edgecnn.pipeline.torch_reference import TorchReference, check_state
from edgecnn.pipeline.user_network import named_architecture


def open_weights(architecture: str | Architecture, text: str, options: WeightsOptions) -> TorchReference:
    """Open the argument of `--weights`: a file, or the name of a torchvision weights entry of the architecture.

    Args:
        architecture: the word that names it, see `named_architecture`, or the architecture itself.
        text: the argument.
        options: properties that a weights file does not contain.

    Warns:
        WeightsNote: see `from_file`.

    Raises:
        UsageError: the architecture, file or entry is unknown, or the options do not match the weights.
        CheckpointError: the file does not have this architecture's weights.
        EdgecnnError: the code of a factory fails.
    """
    known = named_architecture(architecture) if isinstance(architecture, str) else architecture
    path = Path(text)
    if path.is_file():
        return from_file(known.name, path, options)
    if path.exists():
        raise CheckpointError(f"{path} is {_not_a_file(path)}")
    return _from_torchvision(known, text, options)


def from_file(architecture: str, path: Path, options: WeightsOptions) -> TorchReference:
    """Read weights from a file. They determine the numbers of classes and channels.

    Warns:
        WeightsNote: something was unwrapped or adapted, or a property that the file does not contain was assumed. One
            note for each of the two.

    Raises:
        UsageError: the options do not match the weights, or the file has several sets of weights.
        CheckpointError: the file is damaged, or does not have this architecture's weights.
        EdgecnnError: the code of a factory fails.
    """
    known = get_architecture(architecture)
    guess = known.usual(image_size=network_size(options, known.image_size), stem=options.stem or "standard")
    if known.kind == "network":
        guess = replace(guess, num_classes=2, in_channels=3)
    content, value = read_weights_file(path)
    with torch.device("meta"):
        expected = build(guess).state_dict()
    found = find_state(path, value, known, expected, options.key)
    check_kinds(path, found.state)
    network = describe(guess, found.state, expected)
    state, notes = _take(network, found.state, path)
    check_channels(network, path)
    if known.kind == "module":
        network = run_once(known, network, options)
    if found.notes or notes:
        warnings.warn(f"{path}: {', '.join((*found.notes, *notes))}", WeightsNote, stacklevel=2)
    digest = digest_bytes(content)
    if found.choice:
        digest = digest_bytes(f"{digest}\n{found.choice}".encode())
    return _reference(known, network, state, digest=digest, options=options, weights=path)


def from_factory(word: str, options: WeightsOptions) -> TorchReference:
    """Take the weights that a factory returns.

    Args:
        word: `package.module:factory` or `file.py:factory`.
        options: properties that the network does not contain.

    Warns:
        WeightsNote: where the weights come from, and what was assumed.

    Raises:
        UsageError: the options do not match the network; see also `named_architecture`.
        CheckpointError: a weight is not finite.
        EdgecnnError: the code of the factory fails.
    """
    known = named_architecture(word)
    warnings.warn(f"{known.name}: took the weights that it returns; --weights replaces them", WeightsNote, stacklevel=2)
    return from_architecture(known, options)


def from_architecture(known: Architecture, options: WeightsOptions) -> TorchReference:
    """Take the weights with which an architecture builds its network.

    Warns:
        WeightsNote: what was assumed.

    Raises:
        UsageError: the options do not match the network.
        CheckpointError: a weight is not finite.
        EdgecnnError: the network fails on zeros.
    """
    if options.key is not None:
        raise UsageError("--key chooses an entry of a weights file: add --weights FILE, or remove --key")
    size = network_size(options, known.image_size)
    network = run_once(known, known.usual(image_size=size, stem=options.stem or "standard"), options)
    own = build(network).state_dict()
    check_kinds(known.name, own)
    state, _ = convert(known.name, {key: value.clone() for key, value in own.items()}, own)
    return _reference(known, network, state, digest=digest_state(state), options=options, weights=known.name)


def _reference(
    known: Architecture,
    network: Network,
    state: dict[str, torch.Tensor],
    *,
    digest: str,
    options: WeightsOptions,
    weights: Path | str,
) -> TorchReference:
    """Add labels, scores and preprocessing to weights, and note what was assumed."""
    labels = labels_of(options, network.num_classes, weights)
    scores = scores_of(options, network.num_classes)
    preprocessing, assumed = _prepared(known, network, options)
    if assumed:
        text = f"{weights} does not say how images are prepared; assumed: {', '.join(assumed)}"
        warnings.warn(text, WeightsNote, stacklevel=3)
    return TorchReference(network, state, labels, preprocessing, digest, scores=scores)


def _prepared(known: Architecture, network: Network, options: WeightsOptions) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing, and what was assumed. timm's data config replaces the defaults."""
    if known.stated is None:
        return preprocessing_of(network, options)
    if (options.resize, options.resize_mode, options.crop) == (None, None, None):
        options = replace(options, image_size=None)  # the config's resize and crop are scaled to the image size
    stated = known.stated(network.image_size)
    preprocessing, assumed = preprocessing_of(network, options, entry=stated)
    if not is_packaged(known.name):
        return preprocessing, assumed
    resize, (height, width) = preprocessing.resize, network.image_size
    if height != width and options.resize is None and resize is not None and len(resize.size) == 1:
        assumed.append(f"resize of the shorter side to {resize.size[0]}")  # timm's depends on the image
    return preprocessing, [f"the data config of {known.name}", *assumed]


def _take(
    network: Network, state: dict[str, torch.Tensor], path: Path | str
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


def _from_torchvision(known: Architecture, name: str, options: WeightsOptions) -> TorchReference:
    """Read a torchvision entry's weights, labels, resize, crop and interpolation."""
    if known.kind == "module" and not known.name.startswith("torchvision:"):
        nothing = "; edgecnn downloads nothing from the Hugging Face hub" if known.name.startswith("timm:") else ""
        raise UsageError(f"--weights {name} does not exist{nothing}: pass a file with the weights of {known.name}")
    try:
        entries: Any = get_model_weights(known.name.removeprefix("torchvision:"))
    except ValueError:
        raise UsageError(
            f"{name} is not a file, and torchvision has no weights for {known.name}: pass a weights file"
        ) from None
    if name not in entries.__members__:
        choices = ", ".join(entries.__members__)
        raise UsageError(f"{name} is neither a file nor a torchvision weights entry for {known.name}: choose {choices}")
    if options.key is not None or options.stem == "small":
        raise UsageError(f"--key and --stem are for weights files, {name} is a torchvision weights entry: remove them")
    entry = entries[name]
    theirs = preset_preprocessing(entry.transforms())
    assert theirs.crop is not None
    size = network_size(options, theirs.crop[0]) if options.has_geometry else theirs.crop
    network = Network(known.name, len(entry.meta["categories"]), 3, size)
    check_network(network)
    preprocessing, assumed = preprocessing_of(network, options, entry=theirs)
    labels = labels_of(
        replace(options, labels=options.labels or tuple(entry.meta["categories"])), network.num_classes, name
    )
    scores = scores_of(options, network.num_classes)
    try:
        state = entry.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot download {entry.url}: {error}; download it on another machine and pass the file"
        ) from None
    if assumed:
        warnings.warn(f"{name} of torchvision; assumed: {', '.join(assumed)}", WeightsNote, stacklevel=2)
    taken = _take(network, dict(state), name)[0] if known.kind == "module" else dict(state)
    digest = hashlib.sha256(entry.url.encode()).hexdigest()
    return TorchReference(network, taken, labels, preprocessing, digest, scores=scores)


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
