"""GoogLeNet ("Inception v1"): Szegedy et al., Going Deeper with Convolutions, CVPR 2015 (arXiv:1409.4842).

An inception module applies windows of several sizes and a pooling in parallel and concatenates the results. 1 × 1
convolutions reduce the channels first. During training, two auxiliary classifiers add gradients to the lower layers.
"""

import torch
from torch import nn
from torch.nn import functional

# The paper's table 1, one row per inception module: in, 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection.
TABLE: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class BasicConv2d(nn.Module):
    """Convolution, batch normalisation, ReLU.

    Deviation from the paper: batch normalisation, as in torchvision.
    """

    def __init__(self, channels: int, filters: int, *, kernel_size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(filters, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(bn(conv(x)))."""
        return functional.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four parallel branches over the same map (the paper's figure 2b).

    Deviation from the paper: the third branch has a 3 × 3 window instead of 5 × 5, like the TensorFlow model that
    torchvision's weights come from (pytorch/vision#906).
    """

    def __init__(  # noqa: PLR0917 - a row of the table
        self, channels: int, one: int, narrow3: int, three: int, narrow5: int, five: int, pool: int
    ) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(channels, one, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(channels, narrow3, kernel_size=1), BasicConv2d(narrow3, three, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(channels, narrow5, kernel_size=1), BasicConv2d(narrow5, five, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True), BasicConv2d(channels, pool, kernel_size=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the four branches, concatenated over channels."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class InceptionAux(nn.Module):
    """An auxiliary classifier, used in training only (the paper's section 5)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = BasicConv2d(channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the auxiliary logits, [N, num_classes]."""
        x = functional.adaptive_avg_pool2d(x, (4, 4))  # N × C × 4 × 4; never exported, so unequal windows are allowed
        x = torch.flatten(self.conv(x), 1)  #            N × 2048
        x = functional.relu(self.fc1(x))  #              N × 1024
        return self.fc2(self.dropout(x))


class GoogLeNet(nn.Module):
    """GoogLeNet, for square images of at least 32 pixels. Parameters and keys equal torchvision's.

    `forward` returns logits. `forward_with_aux` also returns auxiliary logits, for training only.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        for name, row in TABLE.items():
            self.add_module(name, Inception(*row))
        self.aux1 = InceptionAux(512, num_classes)
        self.aux2 = InceptionAux(528, num_classes)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, num_classes)
        _initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, [N, num_classes], of normalised images, [N, in_channels, S, S]."""
        return self._upper(self._middle(self._lower(x)))

    def forward_with_aux(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the logits of the network and of the lower and upper auxiliary classifiers, for training."""
        lower = self._lower(x)
        middle = self._middle(lower)
        return self._upper(middle), self.aux1(lower), self.aux2(middle)

    def _lower(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool1(self.conv1(x))  #  at 224: N × 64 × 56 × 56
        x = self.conv3(self.conv2(x))  #     N × 192 × 56 × 56
        x = self.maxpool2(x)  #              N × 192 × 28 × 28
        x = self.inception3a(x)  #           N × 256 × 28 × 28
        x = self.inception3b(x)  #           N × 480 × 28 × 28
        x = self.maxpool3(x)  #              N × 480 × 14 × 14
        return self.inception4a(x)  #        N × 512 × 14 × 14, input of the first auxiliary classifier

    def _middle(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inception4b(x)  #     N × 512 × 14 × 14
        x = self.inception4c(x)  #     N × 512 × 14 × 14
        return self.inception4d(x)  #  N × 528 × 14 × 14, input of the second auxiliary classifier

    def _upper(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inception4e(x)  #  N × 832 × 14 × 14
        x = self.maxpool4(x)  #     N × 832 × 7 × 7
        x = self.inception5a(x)  #  N × 832 × 7 × 7
        x = self.inception5b(x)  #  N × 1024 × 7 × 7
        x = x.mean(dim=(2, 3))  #   N × 1024: global average pooling, instead of AlexNet's large linear layers
        return self.fc(self.dropout(x))


def _initialise(network: nn.Module) -> None:
    """Initialise weights from a normal distribution, truncated at -2 and 2, like the TensorFlow model."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)
