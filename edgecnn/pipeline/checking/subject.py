"""The subject of a check: a reference, its open session, and its logits on the images of the self-test."""

from dataclasses import dataclass

import numpy as np

from edgecnn.pipeline.reference import IndependentSession, Reference


@dataclass(frozen=True)
class Subject:
    """A reference whose preprocessing is checked.

    Attributes:
        reference: the reference.
        session: its session.
        size: height and width of its input.
        logits: its logits on the images of the self-test, float32 [N, K].
    """

    reference: Reference
    session: IndependentSession
    size: tuple[int, int]
    logits: np.ndarray

    @property
    def has_channel_order(self) -> bool:
        """Whether the command that takes this reference has the option --channel-order."""
        return self.reference.kind == "onnx"
