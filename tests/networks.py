"""A network whose exported graph is another one: what exporters have done to real networks."""

import torch

from edgecnn.pipeline.models.lenet import LeNet


class Liar(LeNet):
    """LeNet that turns its logits round when it is exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, reversed in the graph."""
        logits = super().forward(x)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


def realistic(network: torch.nn.Module, *, seed: int = 0) -> torch.nn.Module:
    """Give a network random weights at which its logits depend on the image, batch norm statistics included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network
