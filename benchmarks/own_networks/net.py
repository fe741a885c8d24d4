"""A network as a user writes one: residual blocks with a gate, in a file of its own. See `run.py`."""

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions with a shortcut. A gate scales each channel (Hu et al., 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.gate = nn.Sequential(nn.Conv2d(width, width // 4, 1), nn.ReLU(), nn.Conv2d(width // 4, width, 1))
        self.shortcut = nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return silu(shortcut(x) + gate · body(x))."""
        found = self.body(x)
        gate = torch.sigmoid(self.gate(found.mean((2, 3), keepdim=True)))
        return nn.functional.silu(self.shortcut(x) + gate * found)


def make(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Return the network."""
    return nn.Sequential(
        Block(in_channels, 32, 2),
        Block(32, 64, 2),
        Block(64, 128, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )
