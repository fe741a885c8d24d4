"""A network whose exported graph is another one: what exporters have done to real networks."""

import torch

from edgecnn.pipeline.models.lenet import LeNet


class Liar(LeNet):
    """LeNet that turns its logits round when it is exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, reversed in the graph."""
        logits = super().forward(x)
        return logits.flip(1) if torch.compiler.is_exporting() else logits
