"""Registers torchvision's networks that the zoo trains, and runs the command line with them.

The first convolution is replaced where the images do not have three channels.

    python -m benchmarks.common.torchvision_networks train mobilenet_v2 --data fashion-mnist --out FOLDER
"""

from typing import TYPE_CHECKING

from edgecnn.cli.main import main
from edgecnn.pipeline.models.registry import Architecture, register

if TYPE_CHECKING:
    from torch import nn

    from edgecnn.bundle.manifest import Network

NETWORKS = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_x_400mf")


def register_networks() -> None:
    """Add the networks to the registry."""
    for name in NETWORKS:
        register(Architecture(name, build, 224, min_image_size=32))


def build(network: "Network") -> "nn.Module":
    """Build one of torchvision's networks with initial weights, for a number of channels and of classes."""
    import torch
    from torch import nn
    from torchvision.models import get_model

    with torch.device("cpu"):  # RegNet computes its widths with tensors, which have no values on the device `meta`
        built: nn.Module = get_model(network.architecture, weights=None, num_classes=network.num_classes)
    name, first = next((name, each) for name, each in built.named_modules() if isinstance(each, nn.Conv2d))
    if first.in_channels != network.in_channels:
        replacement = nn.Conv2d(
            network.in_channels,
            first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]  # torch types sizes as tuples of any length
            first.stride,  # type: ignore[arg-type]
            first.padding,  # type: ignore[arg-type]
            bias=first.bias is not None,
        )
        nn.init.kaiming_normal_(replacement.weight, mode="fan_out")
        built.set_submodule(name, replacement)
    return built.to(torch.get_default_device())


if __name__ == "__main__":
    register_networks()
    main()
