"""The architectures by name: the seam that other families, and a test's own network, join."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edgecnn.bundle.manifest import Network, Stem
from edgecnn.errors import UsageError
from edgecnn.pipeline.models import alexnet, googlenet, lenet, resnet, vgg


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Attributes:
        name: what the user types.
        build: returns a network whose `forward` takes normalised float32 [N, C, S, S] and returns logits [N, K].
        image_size: height and width of its usual square input, in pixels.
        min_image_size: the smallest that it can take.
        max_image_size: the largest, or None where any will do.
        stems: the stems that it can be built with.
        in_channels: channels of its usual image.
        num_classes: classes that it was made for.
        optional_keys: how the keys begin that weights may lack: heads that only training uses.
        heads: modules whose outputs are the classes, the network's own first: fine-tuning replaces them.
    """

    name: str
    build: Callable[[Network], nn.Module]
    image_size: int
    min_image_size: int
    max_image_size: int | None = None
    stems: tuple[str, ...] = ("standard",)
    in_channels: int = 3
    num_classes: int = 1000
    optional_keys: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()

    def usual(self, *, image_size: int | None = None, stem: Stem = "standard") -> Network:
        """Describe the network as its paper has it, at another image size or with another stem where one is given."""
        size = image_size or self.image_size
        return Network(self.name, self.num_classes, self.in_channels, (size, size), stem)


_REGISTRY: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Add an architecture, or replace the one of that name."""
    _REGISTRY[architecture.name] = architecture


def architectures() -> tuple[Architecture, ...]:
    """Return all architectures, in the order of their invention."""
    return tuple(_REGISTRY.values())


def get_architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in _REGISTRY:
        raise UsageError(f"there is no architecture {name!r}: choose {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


def check_network(network: Network) -> None:
    """Refuse what an architecture cannot take.

    Raises:
        UsageError: no such architecture, an image size that it cannot take (the message says which it can), or a
            stem that it does not have.
    """
    architecture = get_architecture(network.architecture)
    smallest, largest = architecture.min_image_size, architecture.max_image_size
    if min(network.image_size) < smallest or (largest is not None and max(network.image_size) > largest):
        size = " × ".join(str(side) for side in dict.fromkeys(network.image_size))
        takes = f"images of {smallest} pixels only" if smallest == largest else f"images from {smallest} pixels on"
        raise UsageError(f"{architecture.name} takes {takes}, found --image-size {size}")
    if network.stem not in architecture.stems:
        raise UsageError(f"{architecture.name} has the stems {', '.join(architecture.stems)}, not {network.stem!r}")


def build(network: Network) -> nn.Module:
    """Build a network with fresh weights.

    Raises:
        UsageError: see `check_network`.
    """
    check_network(network)
    return get_architecture(network.architecture).build(network)


def _build_vgg(network: Network) -> nn.Module:
    name, _, suffix = network.architecture.partition("_")
    return vgg.VGG(
        name,
        batch_norm=suffix == "bn",
        num_classes=network.num_classes,
        in_channels=network.in_channels,
        image_size=network.image_size,
    )


def _build_resnet(network: Network) -> nn.Module:
    return resnet.ResNet(
        network.architecture,
        num_classes=network.num_classes,
        in_channels=network.in_channels,
        small_stem=network.stem == "small",
    )


register(
    Architecture(
        "lenet",
        lambda network: lenet.LeNet(network.num_classes, network.in_channels),
        32,
        32,
        max_image_size=32,
        in_channels=1,
        num_classes=10,
        heads=("fc3",),
    )
)
register(
    Architecture(
        "alexnet",
        lambda network: alexnet.AlexNet(network.num_classes, network.in_channels, network.image_size),
        224,
        alexnet.MIN_IMAGE_SIZE,
        heads=("classifier.6",),
    )
)
for _name in vgg.TABLE:
    register(Architecture(_name, _build_vgg, 224, vgg.MIN_IMAGE_SIZE, heads=("classifier.6",)))
    register(Architecture(f"{_name}_bn", _build_vgg, 224, vgg.MIN_IMAGE_SIZE, heads=("classifier.6",)))
register(
    Architecture(
        "googlenet",
        lambda network: googlenet.GoogLeNet(network.num_classes, network.in_channels),
        224,
        googlenet.MIN_IMAGE_SIZE,
        optional_keys=("aux1.", "aux2."),
        heads=("fc", "aux1.fc2", "aux2.fc2"),
    )
)
for _name in resnet.TABLE:
    register(Architecture(_name, _build_resnet, 224, resnet.MIN_IMAGE_SIZE, stems=("standard", "small"), heads=("fc",)))
