"""Random networks that behave like trained ones, for tests and benchmarks that cannot wait for training."""

import numpy as np
import onnx
import torch

from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.data.photographs import photographs as real_photographs
from edgecnn.pipeline.models.registry import build, get_architecture
from edgecnn.pipeline.torch_graph import to_onnx
from edgecnn.pipeline.transforms import network_input

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of each channel."""


def realistic(network: torch.nn.Module, *, size: int = 64, channels: int = 3) -> torch.nn.Module:
    """Give a network random weights, and batch norm statistics of real photographs.

    Without these statistics the logits hardly depend on the image, and no error can be measured relative to their
    spread. For the same reason each filter sums to zero: it reacts to differences, not to brightness. Batch norm shifts
    most of its outputs above zero. Random networks that clip half of them are chaotic (Yang et al. 2019, "A mean field
    theory of batch normalization"): a rounding error grows with every layer, in any framework.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
                module.weight.sub_(module.weight.mean(dim=tuple(range(1, module.weight.ndim)), keepdim=True))
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0.6, 0.1, generator=generator)
                module.momentum = None  # use the batch's statistics as running statistics
        for block in network.modules():
            if hasattr(block, "downsample"):
                # In trained networks the end of a residual branch is small compared with its shortcut.
                last = block.get_submodule("bn3" if hasattr(block, "bn3") else "bn2")
                last.get_parameter("weight").mul_(0.2)
    network.train()(photographs(size, channels, count=40))
    return network.eval()


def photographs(size: int, channels: int = 3, *, count: int = 16) -> torch.Tensor:
    """Return normalised photographs: float32 [count, channels, size, size]."""
    preprocessing = Preprocessing("RGB", Resize((size, size)), None, *IMAGENET)
    pixels = real_photographs().pixels(range(count), preprocessing)
    return network_input(pixels, preprocessing)[:, :channels]


def random_graph(name: str) -> tuple[onnx.ModelProto, np.ndarray]:
    """Return an architecture with random weights at 224, and photographs, uint8 [N, 224, 224, 3]."""
    preprocessing = Preprocessing("RGB", Resize((224, 224)), None, *IMAGENET)
    network = realistic(build(get_architecture(name).usual()), size=224 if name in ("alexnet", "vgg16") else 64)
    return to_onnx(network.eval(), preprocessing, (224, 224, 3)), real_photographs().pixels(range(16), preprocessing)
