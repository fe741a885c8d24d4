"""Import weights: a torchvision state dict, a safetensors file, or a torchvision weights entry.

Files are read without executing code from them: `torch.load` with `weights_only=True`, or safetensors.
"""

import dataclasses
import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torchvision.models import get_model_weights

from edgecnn.bundle.manifest import Network, Stem
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.files.digest import digest_bytes
from edgecnn.pipeline.models.registry import build, check_network, get_architecture
from edgecnn.pipeline.reference import Reference, check_state

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images, per channel."""

_GREY_MEAN, _GREY_STD = (0.449,), (0.226,)


@dataclass(frozen=True)
class WeightsOptions:
    """Properties that a weights file does not contain. None selects the ImageNet default.

    Attributes:
        image_size: height and width of the crop. Default: 224.
        resize: length of the shorter side before cropping. Default: 256/224 of the crop.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        labels: class names. Default: the class indices.
        stem: the stem of the network, if its architecture has several.
    """

    image_size: int | None = None
    resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    stem: Stem = "standard"


def open_weights(architecture: str, text: str, options: WeightsOptions) -> Reference:
    """Open the argument of `--weights`: a file, or the name of a torchvision weights entry of the architecture.

    Raises:
        UsageError: the architecture, file or entry is unknown, or the options do not match the weights.
        CheckpointError: the file does not have this architecture's weights.
    """
    get_architecture(architecture)
    path = Path(text)
    if path.is_file():
        return from_file(architecture, path, options)
    return _from_torchvision(architecture, text, options)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names from a text file, one per line.

    Raises:
        UsageError: the file cannot be read, or is not UTF-8.
    """
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --labels {path}: {error}") from None


def from_file(architecture: str, path: Path, options: WeightsOptions) -> Reference:
    """Read a state dict. It determines the numbers of classes and channels."""
    content = path.read_bytes()
    state = _read_state(path, content)
    size = options.image_size or get_architecture(architecture).image_size
    network = _describe(Network(architecture, 2, 3, (size, size), options.stem), state, path)
    return Reference(
        network=network,
        state=state,
        labels=_labels(options.labels, network.num_classes),
        preprocessing=_preprocessing(network, options),
        digest=digest_bytes(content),
    )


def _from_torchvision(architecture: str, name: str, options: WeightsOptions) -> Reference:
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
    entry = entries[name]
    preset = entry.transforms()
    try:
        state = entry.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot download {entry.url}: {error}; download it on another machine and pass the file"
        ) from None
    network = Network(architecture, len(entry.meta["categories"]), 3, (preset.crop_size[0], preset.crop_size[0]))
    check_network(network)
    theirs = preset_preprocessing(preset)
    mean, std = _normalisation(architecture, theirs.mean, theirs.std)
    preprocessing = dataclasses.replace(theirs, mean=options.mean or mean, std=options.std or std)
    labels = options.labels or tuple(entry.meta["categories"])
    return Reference(network, dict(state), labels, preprocessing, hashlib.sha256(entry.url.encode()).hexdigest())


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


def _read_state(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_tensors(content)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} contains more than tensors, or is not a PyTorch file: it was rejected without executing its "
            f"code; save the state dict only"
        ) from None
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a PyTorch file: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise CheckpointError(
            f"{path} is not a state dict: expected a dictionary of names and tensors; save model.state_dict()"
        )
    return dict(found)


def _describe(guess: Network, state: dict[str, torch.Tensor], path: Path) -> Network:
    """Return `guess` with the number of classes from the last weights and of channels from the first weights."""
    architecture = guess.architecture
    with torch.device("meta"):
        expected = build(guess).state_dict()
    weights = [key for key in expected if key.endswith(".weight")]
    first, last = state.get(weights[0]), state.get(weights[-1])
    if first is None or last is None or first.ndim != 4 or last.ndim != 2:
        check_state(architecture, expected, state)
        raise CheckpointError(f"{path} does not contain the weights of {architecture}")
    network = dataclasses.replace(guess, num_classes=len(last), in_channels=first.shape[1])
    with torch.device("meta"):
        check_state(architecture, build(network).state_dict(), state)
    return network


def _preprocessing(network: Network, options: WeightsOptions) -> Preprocessing:
    custom = (MEAN, STD) if network.in_channels == 3 else (_GREY_MEAN, _GREY_STD)
    mean, std = _normalisation(network.architecture, *custom)
    try:
        return Preprocessing(
            "RGB" if network.in_channels == 3 else "L",
            Resize((options.resize or round(min(network.image_size) * 256 / 224),)),
            network.image_size,
            options.mean or mean,
            options.std or std,
        )
    except ValueError as error:
        raise UsageError(f"--mean, --std or --resize is not valid: {error}") from None


def _normalisation(
    architecture: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation for the network's input.

    torchvision's GoogLeNet was ported from TensorFlow. Its `transform_input` reverts ImageNet's normalisation and
    scales to [-1, 1]: (x · std + mean - 0.5) / 0.5. This equals a normalisation with mean 0.5 and std 0.5.
    """
    return ((0.5,) * len(mean), (0.5,) * len(std)) if architecture == "googlenet" else (mean, std)


def _labels(labels: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(str(index) for index in range(classes))
    if len(labels) != classes:
        raise UsageError(
            f"--labels has {len(labels)} lines, expected one for each of the {classes} classes of the weights"
        )
    return labels
