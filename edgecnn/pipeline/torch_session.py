"""The PyTorch reference as a session. Every exported and quantized graph is compared with it.

It implements the runtime's `Session` protocol, so it can replace an engine's session. It uses torchvision's transforms
instead of the exported preprocessing, so that a comparison detects errors in the preprocessing.
"""

import contextlib
import sys
from collections.abc import Iterable

import numpy as np
import torch

from edgecnn.bundle.decoding import ImageLike, decode
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EdgecnnError, EngineError
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
        return deliver(self._logits(network_input(images, self._preprocessing)), out)

    def logits_of(self, images: Iterable[ImageLike]) -> np.ndarray:
        """Return the logits of original images, preprocessed with torchvision's transforms; float32 [N, K]."""
        return self.run_normalised(self.inputs_of(images))

    def inputs_of(self, images: Iterable[ImageLike], *, preprocessing: Preprocessing | None = None) -> np.ndarray:
        """See `IndependentSession.inputs_of`."""
        preprocessing = preprocessing or self._preprocessing
        transform = torchvision_transform(preprocessing)
        return np.asarray(torch.stack([transform(decode(image, preprocessing.mode)) for image in images]).numpy())

    def run_normalised(self, inputs: np.ndarray) -> np.ndarray:
        """See `IndependentSession.run_normalised`."""
        return self._logits(torch.from_numpy(np.ascontiguousarray(inputs)))

    def close(self) -> None:
        """See `Session.close`."""
        self._network = None

    def _logits(self, inputs: torch.Tensor) -> np.ndarray:
        """Run the network, which may be the user's code: it can print, and raise any exception."""
        if self._network is None:
            raise EngineError("this session is closed: open the checkpoint again")
        try:
            with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
                return np.asarray(self._network(inputs).numpy())
        except EdgecnnError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise EngineError(f"PyTorch fails on these images: {type(error).__name__}: {text}") from error
