"""Run a graph in ONNX Runtime with exact INT8 sums, before it becomes a bundle."""

from typing import Protocol

import numpy as np
import onnx

from edgecnn.bundle.manifest import Scores
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeEngine, OnnxRuntimeSession
from edgecnn.runtime.verification.answers import answers_of

_BATCH = 32


class Pixels(Protocol):
    """Images as uint8 [N, H, W, C]: an array, or an object that reads images on slicing."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> np.ndarray: ...


def trial_logits(model: onnx.ModelProto, images: Pixels) -> np.ndarray:
    """Return the logits of images as float32 [N, K].

    Raises:
        EngineError: ONNX Runtime failed.
    """
    return _run(open_trial(model), images, range(len(images)))


class Answers:
    """The answers of a graph; see `answers_of`. Images run when their answers are needed, each once."""

    def __init__(self, model: onnx.ModelProto, images: Pixels, scores: Scores) -> None:
        """Raises: EngineError: see `open_trial`."""
        self._session = open_trial(model)
        self._images = images
        self._scores = scores
        self._found: np.ndarray | None = None

    def first(self, count: int) -> np.ndarray:
        """Return the answers to the first `count` images, int64 [count], or for several labels bool [count, K].

        Raises:
            EngineError: ONNX Runtime failed.
        """
        known = 0 if self._found is None else len(self._found)
        if self._found is None or count > known:
            more = answers_of(_run(self._session, self._images, range(known, count)), self._scores)
            self._found = more if self._found is None else np.concatenate([self._found, more])
        return self._found[:count]


def _run(session: OnnxRuntimeSession, images: Pixels, part: range) -> np.ndarray:
    """Return the logits of a part of the images, float32 [N, K], in batches."""
    starts = range(part.start, part.stop, _BATCH)
    return np.concatenate([session.run(images[start : min(start + _BATCH, part.stop)]) for start in starts])


def open_trial(model: onnx.ModelProto) -> OnnxRuntimeSession:
    """Load a graph in ONNX Runtime on the CPU.

    Integer sums are exact on every processor: a trial measures rounding only, and saturation depends on the device.

    Raises:
        EngineError: ONNX Runtime cannot load the graph.
    """
    return OnnxRuntimeEngine().open(model.SerializeToString(), SessionOptions(exact_int8=True))
