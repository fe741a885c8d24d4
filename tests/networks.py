"""A network whose exported graph is another one: what exporters have done to real networks."""

import torch
import torchvision

from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.data.photographs import photographs as real_photographs
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.models.resnet import BasicBlock, Bottleneck
from edgecnn.pipeline.reference import network_input


class Liar(LeNet):
    """LeNet that turns its logits round when it is exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, reversed in the graph."""
        logits = super().forward(x)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


_RESIDUAL = (BasicBlock, Bottleneck, torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck)


def realistic(network: torch.nn.Module, *, size: int = 64, channels: int = 3) -> torch.nn.Module:
    """Give a network random weights and the batch norm statistics of real photographs, as training would leave them.

    Without those statistics the logits hardly depend on the image, and an error could not be measured by their spread.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.momentum = None  # running statistics become those of the batches seen
        for block in network.modules():
            if isinstance(block, _RESIDUAL):
                # Training leaves the end of a residual branch small beside its shortcut; were it not, a rounding
                # error would grow tenfold from the first block to the last, in any framework.
                (block.bn3 if hasattr(block, "bn3") else block.bn2).weight.mul_(0.2)
    network.train()(photographs(size, channels, count=40))
    return network.eval()


def photographs(size: int, channels: int = 3, *, count: int = 16) -> torch.Tensor:
    """Real photographs, normalised: float32 [count, channels, size, size]."""
    preprocessing = Preprocessing("RGB", Resize((size, size)), None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = real_photographs().pixels(range(count), preprocessing)
    return network_input(pixels, preprocessing)[:, :channels]
