"""The PyTorch reference as a session. Every exported and quantized graph is compared with it.

It implements the runtime's `Session` protocol, so it can replace an engine's session. It uses torchvision's transforms
instead of the exported preprocessing, so that a comparison detects errors in the preprocessing.
"""

from collections.abc import Iterable

import numpy as np
import torch

from edgecnn.bundle.decoding import ImageLike, decode
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EngineError
from edgecnn.pipeline.transforms import network_input, torchvision_transform
from edgecnn.runtime.engines.engine import SessionInfo, deliver


class TorchSession:
    """An `IndependentSession` of a network in PyTorch, in FP32 on the CPU. `classes` is the number of logits."""

    def __init__(
        self, network: torch.nn.Module, preprocessing: Preprocessing, *, classes: int, threads: int | None = None
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.info = SessionInfo("pytorch", torch.__version__, "cpu", "fp32", torch.get_num_threads())
        self.instances = 1
        self.classes = classes
        self._preprocessing = preprocessing
        self._network: torch.nn.Module | None = network

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        if self._network is None:
            raise EngineError("this session is closed: open the checkpoint again")
        with torch.inference_mode():
            logits = self._network(network_input(images, self._preprocessing)).numpy()
        return deliver(np.asarray(logits), out)

    def logits_of(self, images: Iterable[ImageLike]) -> np.ndarray:
        """Return the logits of original images, preprocessed with torchvision's transforms; float32 [N, K]."""
        if self._network is None:
            raise EngineError("this session is closed: open the checkpoint again")
        transform = torchvision_transform(self._preprocessing)
        tensors = [transform(decode(image, self._preprocessing.mode)) for image in images]
        with torch.inference_mode():
            return np.asarray(self._network(torch.stack(tensors)).numpy())

    def close(self) -> None:
        """See `Session.close`."""
        self._network = None
