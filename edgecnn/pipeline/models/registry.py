"""The architectures by name: the seam that other families, and a test's own network, join."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edgecnn.errors import UsageError
from edgecnn.pipeline.models.lenet import LeNet


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Attributes:
        name: what the user types.
        build: called with `num_classes` and `in_channels`; returns a network whose `forward` takes normalised
            float32 [N, C, H, W] and returns logits [N, num_classes].
        image_size: height and width of its usual square input, in pixels.
    """

    name: str
    build: Callable[[int, int], nn.Module]
    image_size: int


_REGISTRY: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Add an architecture, or replace the one of that name."""
    _REGISTRY[architecture.name] = architecture


def get_architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in _REGISTRY:
        raise UsageError(f"there is no architecture {name!r}: choose {', '.join(sorted(_REGISTRY))}")
    return _REGISTRY[name]


register(Architecture("lenet", LeNet, image_size=32))
