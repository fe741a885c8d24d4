"""AlexNet: ReLU instead of tanh, dropout in the large linear layers, and overlapping pooling windows.

Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012; in the
form of Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (arXiv:1404.5997), which
torchvision has.
"""

import torch
from torch import nn

from edgecnn.pipeline.models.pooling import average_pool, pooled_size


class AlexNet(nn.Module):
    """AlexNet, for square images of at least 63 pixels. At 224 pixels, parameters and keys equal torchvision's.

    Deviations from the paper: one column instead of two GPUs, with the 2014 paper's numbers of filters, and no local
    response normalisation (no benefit: Simonyan and Zisserman, 2014, section 2.3).

    Deviation from torchvision: its adaptive pooling to 6 × 6 is an identity at 224 pixels, and has unequal windows at
    most other sizes. Here an average pooling with equal windows replaces it; see `pooled_size`.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: tuple[int, int] = (224, 224)) -> None:
        super().__init__()
        height, width = map(_feature_size, image_size)
        rows, columns = pooled_size(height, largest=6), pooled_size(width, largest=6)
        self.features = nn.Sequential(  #                        at 224: N × C × 224 × 224
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),  # N × 64 × 55 × 55
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  #                           N × 64 × 27 × 27
            nn.Conv2d(64, 192, kernel_size=5, padding=2),  #                    N × 192 × 27 × 27
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  #                           N × 192 × 13 × 13
            nn.Conv2d(192, 384, kernel_size=3, padding=1),  #                   N × 384 × 13 × 13
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),  #                   N × 256 × 13 × 13
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),  #                   N × 256 × 13 × 13
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  #                           N × 256 × 6 × 6
        )
        self.avgpool = average_pool((height, width), (rows, columns))
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * rows * columns, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, [N, num_classes], of normalised images, [N, in_channels, H, W]."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def _feature_size(image_size: int) -> int:
    """Return the size of the feature map after the first convolution and three 3 × 3 poolings at stride 2."""
    size = (image_size + 2 * 2 - 11) // 4 + 1
    for _ in range(3):
        size = (size - 3) // 2 + 1
    return size
