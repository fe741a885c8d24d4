"""The training loss: cross entropy of the logits, and of GoogLeNet's auxiliary logits."""

import torch
from torch import nn
from torch.nn import functional

AUX_WEIGHT = 0.3
"""Weight of each auxiliary loss (Szegedy et al., Going Deeper with Convolutions, 2015, section 5)."""


class Objective(nn.Module):
    """A network with its loss, as one module for `DistributedDataParallel`.

    Args:
        network: `forward` returns logits [N, K]. Training calls `forward_with_aux` if the network has it.
        label_smoothing: share of the target that is spread over all classes.
        frozen: train the head only. Batch norm then keeps its statistics.
    """

    def __init__(self, network: nn.Module, *, label_smoothing: float, frozen: bool = False) -> None:
        super().__init__()
        self.network = network
        self._smoothing = label_smoothing
        self._frozen = frozen
        self._has_aux = hasattr(network, "forward_with_aux") and not frozen

    def train(self, mode: bool = True) -> "Objective":
        """Set training mode. A frozen network stays in evaluation mode."""
        super().train(mode)
        if self._frozen:
            self.network.eval()
        return self

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the summed loss of the images, and their logits, [N, K]."""
        if not self._has_aux:
            logits = self.network(images)
            return self._loss(logits, targets), logits
        logits, lower, upper = self.network.forward_with_aux(images)  # type: ignore[operator]
        loss = self._loss(logits, targets) + AUX_WEIGHT * (self._loss(lower, targets) + self._loss(upper, targets))
        return loss, logits

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits.float(), targets, label_smoothing=self._smoothing, reduction="sum")
