"""Networks that differ in one point each: depth, activation, batch norm, skips.

He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385), section 4.2: the
networks for CIFAR-10, with and without skips. Both kinds have the same parameters, because skips contain none.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

Activation = Literal["sigmoid", "relu"]
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


@dataclass(frozen=True)
class Design:
    """The design of a network.

    Attributes:
        depth: convolutions and the linear layer: 2 + 2 · blocks.
        widths: channels of each stage; each stage but the first halves the map.
        activation: after each convolution; it also selects the initialisation of Glorot (sigmoid) or He (ReLU).
        batch_norm: whether batch norm follows each convolution.
        skips: whether a skip leads around each block of two convolutions.
    """

    depth: int
    widths: tuple[int, ...]
    activation: Activation = "relu"
    batch_norm: bool = True
    skips: bool = True


class DeepNetwork(nn.Module):
    """A network of a `Design` for images with one channel and ten classes."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        blocks, rest = divmod(design.depth - 2, 2 * len(design.widths))
        if rest:
            raise ValueError(f"depth {design.depth} does not fit {len(design.widths)} stages of whole blocks")
        self.stem = _Unit(1, design.widths[0], 1, design)
        layers, channels = [], design.widths[0]
        for stage, width in enumerate(design.widths):
            for block in range(blocks):
                layers.append(_Block(channels, width, 2 if stage and not block else 1, design))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, 10)
        _initialise(self, design.activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits [N, 10] of images [N, 1, S, S]."""
        logits: torch.Tensor = self.fc(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        return logits

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolutions in the order of the data."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]


class _Unit(nn.Module):
    """A 3 × 3 convolution, batch norm or none, and an activation or none."""

    def __init__(self, channels: int, width: int, stride: int, design: Design, *, is_last: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width) if design.batch_norm else nn.Identity()
        self.activation = nn.Identity() if is_last else _ACTIVATIONS[design.activation]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.activation(self.bn(self.conv(x)))
        return result


class _Block(nn.Module):
    """Two units, and a skip around them or none. The skip pads with zero channels (the paper's option A)."""

    def __init__(self, channels: int, width: int, stride: int, design: Design) -> None:
        super().__init__()
        self.first = _Unit(channels, width, stride, design)
        self.second = _Unit(width, width, 1, design, is_last=True)
        self.activation = _ACTIVATIONS[design.activation]()
        self.skips, self.stride, self.added = design.skips, stride, width - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.second(self.first(x))
        if self.skips:
            result = result + functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        activated: torch.Tensor = self.activation(result)
        return activated


def _initialise(network: nn.Module, activation: Activation) -> None:
    """Initialise as in Glorot and Bengio, 2010, or He et al., 2015 (arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if activation == "sigmoid":
                nn.init.xavier_normal_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
