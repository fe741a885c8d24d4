"""ResNet: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385).

The layers of a block learn a residual F(x), and the block returns F(x) + x. This makes deep networks trainable.
"""

import torch
from torch import nn

# The paper's table 1: the kind of block, and the number of blocks in each of the four stages.
TABLE: dict[str, tuple[str, tuple[int, int, int, int]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut (the paper's figure 5, left)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(channels, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + shortcut(x))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions and a shortcut (the paper's figure 5, right).

    Deviation from the paper: the 3 × 3 convolution has the stride. In the first 1 × 1 convolution, a stride would
    ignore three of four positions. ("ResNet v1.5", NVIDIA, Deep Learning Examples; also in torchvision; half a point
    better on ImageNet.)
    """

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(channels, width * self.expansion, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + shortcut(x))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


_BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """A ResNet of `TABLE`, for square images of at least 32 pixels. Parameters and keys equal torchvision's.

    `small_stem` selects a 3 × 3 convolution at stride 1, as in the paper's section 4.2 for CIFAR-10. The standard stem
    (7 × 7 at stride 2, and pooling) would shrink an image of 32 pixels to 8 before the first block.
    """

    def __init__(self, name: str, *, num_classes: int = 1000, in_channels: int = 3, small_stem: bool = False) -> None:
        super().__init__()
        kind, counts = TABLE[name]
        block = _BLOCKS[kind]
        stem = {"kernel_size": 3, "padding": 1} if small_stem else {"kernel_size": 7, "stride": 2, "padding": 3}
        self.conv1 = nn.Conv2d(in_channels, 64, **stem, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = 64
        for stage, count in enumerate(counts):
            width, stride = 64 * 2**stage, 1 if stage == 0 else 2
            self.add_module(f"layer{stage + 1}", _stage(block, channels, width, count, stride))
            channels = width * block.expansion
        self.fc = nn.Linear(channels, num_classes)
        _initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, [N, num_classes], of normalised images, [N, in_channels, S, S]."""
        x = self.relu(self.bn1(self.conv1(x)))  # at 224: N × 64 × 112 × 112
        x = self.maxpool(x)  #                    N × 64 × 56 × 56
        x = self.layer1(x)  #                     N × 64·e × 56 × 56, where e is the block's expansion
        x = self.layer2(x)  #                     N × 128·e × 28 × 28
        x = self.layer3(x)  #                     N × 256·e × 14 × 14
        x = self.layer4(x)  #                     N × 512·e × 7 × 7
        x = x.mean(dim=(2, 3))  #                 N × 512·e: global average pooling
        return self.fc(x)


def _stage(block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, count: int, stride: int) -> nn.Module:
    """Return the blocks of a stage. The first block applies the stride and changes the channels."""
    blocks = [block(channels, width, stride)]
    blocks += [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


def _projection(channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """Return a 1 × 1 convolution as shortcut if shapes differ (the paper's option B), else None for the identity."""
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def _initialise(network: nn.Module) -> None:
    """Initialise weights as in He et al., 2015 (arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
