"""LeNet-5: convolutions (local receptive fields with shared weights), each followed by subsampling.

LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE
86(11), 1998 (http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf), section II.B, figure 2.
"""

import torch
from torch import nn


class LeNet(nn.Module):
    """LeNet-5, for images of 32 × 32 pixels.

    Deviations from the paper:

    * ReLU instead of the scaled tanh 1.7159 · tanh(2/3 · x) (Krizhevsky, Sutskever and Hinton, 2012, section 3.1);
    * max pooling instead of averages with a trained factor and bias (S2, S4);
    * C3 reads all six feature maps; in the paper's table I, each map of C3 reads three, four or six of them;
    * a linear layer that returns logits instead of Gaussian radial basis functions.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)  # C1
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)  # C3
        self.fc1 = nn.Linear(16 * 5 * 5, 120)  # C5: a 5 × 5 convolution over a 5 × 5 map is a linear layer
        self.fc2 = nn.Linear(120, 84)  # F6
        self.fc3 = nn.Linear(84, num_classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(kernel_size=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, [N, num_classes], of normalised images, [N, in_channels, 32, 32]."""
        x = self.relu(self.conv1(x))  #  N × 6 × 28 × 28
        x = self.pool(x)  #              N × 6 × 14 × 14
        x = self.relu(self.conv2(x))  #  N × 16 × 10 × 10
        x = self.pool(x)  #              N × 16 × 5 × 5
        x = torch.flatten(x, 1)  #       N × 400
        x = self.relu(self.fc1(x))  #    N × 120
        x = self.relu(self.fc2(x))  #    N × 84
        return self.fc3(x)  #            N × num_classes
