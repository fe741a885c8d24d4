"""Registry of architectures. Other code can register more.

PyTorch and NumPy are imported when a network is built, so that names and image sizes are checked without them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgecnn.errors import UsageError
from edgecnn.hints import closest, plain_name, suggestion
from edgecnn.pipeline.models.words import is_factory, is_packaged

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgecnn.bundle.manifest import Network, Stem
    from edgecnn.bundle.preprocessing import Preprocessing

_SYNONYMS = {"inception": "googlenet", "inceptionv1": "googlenet"}
_RELATIVES = (
    *("resnext", "resnest", "seresnet", "senet", "preresnet", "wideresnet"),
    *("xception", "inceptionv2", "inceptionv3", "inceptionv4", "inceptionresnet"),
)
"""Beginnings of the names of other networks that resemble a name in the registry."""


@dataclass(frozen=True)
class Architecture:
    """A registered architecture.

    Attributes:
        name: name on the command line.
        build: returns a network whose `forward` takes normalised float32 [N, C, S, S] and returns logits [N, K].
        image_size: default height and width of the square input, in pixels.
        min_image_size: smallest accepted size.
        max_image_size: largest accepted size, or None for no limit.
        stems: supported stems.
        in_channels: default number of channels.
        num_classes: default number of classes.
        optional_keys: prefixes of keys that weights may omit: heads used in training only.
        heads: modules that output the classes, the main head first. Fine-tuning replaces them.
        kind: `network` for edgecnn's own, `module` for another PyTorch module.
        source_digest: SHA-256 of the code that builds a module; None for edgecnn's own networks, or if unknown.
        stated: returns the preprocessing that the network's package states for a height and width; None if it does
            not.
        source: the file of a factory, for messages.
        parameters: which numbers `build` takes from the network, of `num_classes` and `in_channels`.
    """

    name: str
    build: "Callable[[Network], nn.Module]"
    image_size: int
    min_image_size: int
    max_image_size: int | None = None
    stems: tuple[str, ...] = ("standard",)
    in_channels: int = 3
    num_classes: int = 1000
    optional_keys: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    kind: Literal["network", "module"] = "network"
    source_digest: str | None = None
    stated: "Callable[[tuple[int, int]], Preprocessing] | None" = None
    source: "Path | None" = None
    parameters: frozenset[str] = frozenset(("num_classes", "in_channels"))

    def usual(self, *, image_size: int | tuple[int, int] | None = None, stem: "Stem" = "standard") -> "Network":
        """Return the network of the paper, optionally with another image size or stem."""
        from edgecnn.bundle.manifest import Network

        size = image_size or self.image_size
        pair = size if isinstance(size, tuple) else (size, size)
        return Network(self.name, self.num_classes, self.in_channels, pair, stem)


_REGISTRY: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Add an architecture, or replace the one with the same name."""
    _REGISTRY[architecture.name] = architecture


def architectures() -> tuple[Architecture, ...]:
    """Return edgecnn's own architectures, and registered ones of the kind `network`, in order of publication."""
    return tuple(each for each in _REGISTRY.values() if each.kind == "network")


def get_architecture(name: str) -> Architecture:
    """Return the architecture with this name. See `named_architecture` for names on the command line.

    Raises:
        UsageError: the name is unknown, or names code of the user that was not loaded. The message lists the known
            names.
        MissingExtra: the package of the network is not installed.
    """
    if name not in _REGISTRY and (is_packaged(name) or is_factory(name)):
        from edgecnn.pipeline.models.packaged import packaged

        register(packaged(name))
    if name not in _REGISTRY:
        hint = suggestion(closest_architecture(name))
        own = ", ".join(each.name for each in architectures())
        raise UsageError(
            f"unknown architecture {name!r}{hint}: choose {own}, torchvision:NAME, timm:NAME, or a factory such as "
            f"net.py:make"
        )
    return _REGISTRY[name]


def closest_architecture(name: str) -> str | None:
    """Return the architecture that was probably meant, such as `lenet` by `LeNet-5`; None if none is close."""
    return (
        None
        if plain_name(name).startswith(_RELATIVES)
        else closest(name, [each.name for each in architectures()], others=_SYNONYMS)
    )


def check_network(network: "Network") -> None:
    """Check that an architecture supports the image size and the stem.

    Raises:
        UsageError: the architecture is unknown, or does not support the image size or the stem. The message lists the
            supported values.
    """
    architecture = get_architecture(network.architecture)
    smallest, largest = architecture.min_image_size, architecture.max_image_size
    if min(network.image_size) < smallest or (largest is not None and max(network.image_size) > largest):
        size = " × ".join(str(side) for side in dict.fromkeys(network.image_size))
        takes = f"images of {smallest} pixels only" if smallest == largest else f"images of at least {smallest} pixels"
        raise UsageError(f"{architecture.name} takes {takes}, found --image-size {size}")
    if network.stem not in architecture.stems:
        raise UsageError(f"{architecture.name} has the stems {', '.join(architecture.stems)}, found {network.stem!r}")


def build(network: "Network") -> "nn.Module":
    """Build a network with initial weights.

    Raises:
        UsageError: see `check_network`.
    """
    check_network(network)
    return get_architecture(network.architecture).build(network)


def _build_lenet(network: "Network") -> "nn.Module":
    from edgecnn.pipeline.models.lenet import LeNet

    return LeNet(network.num_classes, network.in_channels)


def _build_alexnet(network: "Network") -> "nn.Module":
    from edgecnn.pipeline.models.alexnet import AlexNet

    return AlexNet(network.num_classes, network.in_channels, network.image_size)


def _build_vgg(network: "Network") -> "nn.Module":
    from edgecnn.pipeline.models.vgg import VGG

    name, _, suffix = network.architecture.partition("_")
    return VGG(
        name,
        batch_norm=suffix == "bn",
        num_classes=network.num_classes,
        in_channels=network.in_channels,
        image_size=network.image_size,
    )


def _build_googlenet(network: "Network") -> "nn.Module":
    from edgecnn.pipeline.models.googlenet import GoogLeNet

    return GoogLeNet(network.num_classes, network.in_channels)


def _build_resnet(network: "Network") -> "nn.Module":
    from edgecnn.pipeline.models.resnet import ResNet

    return ResNet(
        network.architecture,
        num_classes=network.num_classes,
        in_channels=network.in_channels,
        small_stem=network.stem == "small",
    )


register(
    Architecture(
        "lenet", _build_lenet, 32, min_image_size=32, max_image_size=32, in_channels=1, num_classes=10, heads=("fc3",)
    )
)
# The smallest image size for which no feature map is empty: 63, 15, 7, 3, 1.
register(Architecture("alexnet", _build_alexnet, 224, min_image_size=63, heads=("classifier.6",)))
for _name in ("vgg11", "vgg13", "vgg16", "vgg19"):  # the keys of `vgg.TABLE`; five poolings halve 32 to 1
    register(Architecture(_name, _build_vgg, 224, min_image_size=32, heads=("classifier.6",)))
    register(Architecture(f"{_name}_bn", _build_vgg, 224, min_image_size=32, heads=("classifier.6",)))
register(  # the stem and the poolings halve the map five times: 32 becomes 1
    Architecture(
        "googlenet",
        _build_googlenet,
        224,
        min_image_size=32,
        optional_keys=("aux1.", "aux2."),
        heads=("fc", "aux1.fc2", "aux2.fc2"),
    )
)
# The keys of `resnet.TABLE`. The stem and three stages halve the map five times: 32 becomes 1.
for _name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
    register(Architecture(_name, _build_resnet, 224, min_image_size=32, stems=("standard", "small"), heads=("fc",)))

_BUILT_IN = dict(_REGISTRY)


def is_built_in(architecture: Architecture) -> bool:
    """Return whether an architecture is edgecnn's own, unchanged."""
    return _BUILT_IN.get(architecture.name) is architecture
