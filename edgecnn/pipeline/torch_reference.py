"""The PyTorch reference of a bundle: network, weights, labels and preprocessing."""

from dataclasses import dataclass, field
from typing import Literal

import onnx
import torch
from torch import nn

from edgecnn.bundle.manifest import DataReference, Network, Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import CheckpointError
from edgecnn.hints import few, shown
from edgecnn.pipeline.data.held_out import HeldOut
from edgecnn.pipeline.models.outputs import two_logits
from edgecnn.pipeline.models.registry import build, get_architecture
from edgecnn.pipeline.torch_graph import to_onnx
from edgecnn.pipeline.torch_session import TorchSession


@dataclass(frozen=True)
class TorchReference:
    """A `Reference` in PyTorch. `state` has the weights."""

    network: Network
    state: dict[str, torch.Tensor]
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    digest: str
    training: DataReference | None = None
    data: str | None = None
    scores: Scores = field(default_factory=Scores)
    held_out: HeldOut | None = None
    reserved: float = 0.0

    @property
    def kind(self) -> Literal["network", "module"]:
        """See `Reference.kind`."""
        return get_architecture(self.network.architecture).kind

    @property
    def name(self) -> str:
        """The name of the architecture."""
        return self.network.architecture

    @property
    def source_digest(self) -> str | None:
        """See `Reference.source_digest`."""
        return get_architecture(self.network.architecture).source_digest

    def module(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode.

        A network with one output z and two labels returns the two logits (0, z).

        Raises:
            CheckpointError: the weights do not match the architecture. The message names the keys.
        """
        module = build(self.network)
        check_state(self.network.architecture, module.state_dict(), self.state)
        module.load_state_dict(self.state, strict=False)
        if self.network.num_classes == 1 and len(self.labels) == 2:
            module.register_forward_hook(two_logits)
        return module.eval()

    def open(self, *, threads: int | None = None) -> TorchSession:
        """See `Reference.open`."""
        return TorchSession(self.module(), self.preprocessing, classes=len(self.labels), threads=threads)

    def to_onnx(self) -> onnx.ModelProto:
        """See `Reference.to_onnx`."""
        return to_onnx(self.module(), self.preprocessing, (*self.network.image_size, self.network.in_channels))


def check_state(name: str, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    """Check that the keys and shapes of a state dict match a network.

    Raises:
        CheckpointError: a key is missing, extra, or has another shape.
    """
    optional = get_architecture(name).optional_keys
    # Files from before PyTorch 0.4.1 lack batch counters, and heads used in training only are often missing.
    absent = [key for key in expected if key not in found and not key.startswith(optional)]
    missing = [key for key in absent if not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in expected]
    shapes = [
        f"{shown(key)} {list(value.shape)}, expected {list(expected[key].shape)}"
        for key, value in found.items()
        if key in expected and value.shape != expected[key].shape
    ]
    problems = [
        f"{what} {few(keys)}"
        for what, keys in (("missing", missing), ("extra", list(map(shown, extra))), ("other shapes:", shapes))
        if keys
    ]
    if problems:
        raise CheckpointError(f"the weights do not match {name}: {'; '.join(problems)}")
