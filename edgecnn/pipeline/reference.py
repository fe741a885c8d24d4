"""What a bundle is compared with when it is built: a PyTorch network, or an ONNX file in float."""

import hashlib
from collections.abc import Iterable
from typing import Literal, Protocol

import numpy as np
import onnx

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.manifest import DataReference, Network, Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.files import schema
from edgecnn.pipeline.data.held_out import HeldOut
from edgecnn.runtime.engines.engine import Session


class IndependentSession(Session, Protocol):
    """A session of a reference. Its preprocessing is independent of the bundle's, to detect errors in both."""

    def logits_of(self, images: Iterable[ImageLike], /) -> np.ndarray:
        """Return the logits of original images, float32 [N, K]."""
        ...

    def inputs_of(self, images: Iterable[ImageLike], /, *, preprocessing: Preprocessing | None = None) -> np.ndarray:
        """Return what the network receives for original images: normalised float32 [N, C, H, W].

        The channels are in the order that the network takes. `preprocessing` replaces the reference's own.
        """
        ...

    def run_normalised(self, inputs: np.ndarray, /) -> np.ndarray:
        """Return the logits of normalised inputs as `inputs_of` returns them, float32 [N, K]."""
        ...


class Reference(Protocol):
    """Everything that determines the logits of a reference, and how to open it.

    Attributes:
        kind: a registered `network`, another PyTorch `module`, or an `onnx` file.
        name: name for messages and records, such as `resnet18`, `torchvision:mobilenet_v2` or `net.onnx`.
        network: how to build the network again; None for an ONNX file.
        labels: class names in the order of the logits.
        preprocessing: how images are prepared.
        scores: how logits become scores.
        digest: digest of the checkpoint, weights or ONNX file.
        source_digest: digest of the code that builds the network; None if it is edgecnn's own, or unknown.
        training: the training images; None if unknown.
        data: the training data as the user named it; None if unknown.
        held_out: the images of `data` that training held out; None if there are none, or if they are unknown.
        reserved: share of the training split of `data` that training used for nothing; see `data.held_out.reserved`.
    """

    @property
    def kind(self) -> Literal["network", "module", "onnx"]: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def network(self) -> Network | None: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def preprocessing(self) -> Preprocessing: ...  # noqa: D102
    @property
    def scores(self) -> Scores: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def source_digest(self) -> str | None: ...  # noqa: D102
    @property
    def training(self) -> DataReference | None: ...  # noqa: D102
    @property
    def data(self) -> str | None: ...  # noqa: D102
    @property
    def held_out(self) -> HeldOut | None: ...  # noqa: D102
    @property
    def reserved(self) -> float: ...  # noqa: D102

    def open(self, *, threads: int | None = None) -> IndependentSession:
        """Open the reference on the CPU, in float.

        Raises:
            CheckpointError, EngineError: it cannot be opened.
        """
        ...

    def to_onnx(self) -> onnx.ModelProto:
        """Return the graph of the bundle: it takes `image`, uint8 [N, H, W, C], and returns `logits`, float32 [N, K].

        Raises:
            EdgecnnError: the network cannot be converted.
        """
        ...


def identity_of(reference: Reference) -> str:
    """Return the digest of a reference's weights, preprocessing and labels. Bundles of the same reference share it."""
    parts = [reference.digest, schema.dump(reference.preprocessing), schema.dump(reference.labels)]
    if reference.source_digest is not None:
        parts.append(reference.source_digest)
    if reference.scores != Scores():
        parts.append(schema.dump(reference.scores))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
