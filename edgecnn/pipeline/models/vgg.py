"""VGG: stacks of 3 × 3 convolutions, which have fewer weights than larger windows, between poolings.

Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015 (arXiv:1409.1556).
"""

import torch
from torch import nn

from edgecnn.pipeline.models.pooling import average_pool, pooled_size

POOL = "M"

# The paper's table 1: output channels of each 3 × 3 convolution; "M" is a 2 × 2 max pooling.
# fmt: off
TABLE: dict[str, list[int | str]] = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}
# fmt: on


class VGG(nn.Module):
    """A VGG of `TABLE`, for square images of at least 32 pixels. At 224, parameters and keys equal torchvision's.

    Deviation from the paper: `batch_norm` adds batch normalisation after each convolution (Ioffe and Szegedy, 2015).
    The paper has none, and initialises deep networks from the weights of shallow ones.

    Deviation from torchvision: its adaptive pooling to 7 × 7 is an identity at 224 pixels; for other sizes see
    `pooled_size`.
    """

    def __init__(
        self,
        name: str,
        *,
        batch_norm: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: tuple[int, int] = (224, 224),
    ) -> None:
        super().__init__()
        height, width = (side // 2 ** TABLE[name].count(POOL) for side in image_size)
        rows, columns = pooled_size(height, largest=7), pooled_size(width, largest=7)
        self.features = _read(TABLE[name], in_channels, batch_norm=batch_norm)
        self.avgpool = average_pool((height, width), (rows, columns))
        self.classifier = nn.Sequential(
            nn.Linear(512 * rows * columns, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )
        _initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, [N, num_classes], of normalised images, [N, in_channels, S, S]."""
        x = self.features(x)  # N × 512 × S/32 × S/32
        x = self.avgpool(x)  #  at 224: N × 512 × 7 × 7
        return self.classifier(torch.flatten(x, 1))


def _read(row: list[int | str], channels: int, *, batch_norm: bool) -> nn.Sequential:
    """Return the layers of a row of `TABLE`."""
    layers: list[nn.Module] = []
    for entry in row:
        if entry == POOL:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        filters = int(entry)
        layers.append(nn.Conv2d(channels, filters, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(filters))
        layers.append(nn.ReLU(inplace=True))
        channels = filters
    return nn.Sequential(*layers)


def _initialise(network: nn.Module) -> None:
    """Initialise weights as in He et al., 2015 (arXiv:1502.01852). Deep VGGs do not learn otherwise."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)
