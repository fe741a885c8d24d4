"""Run a graph in ONNX Runtime with exact INT8 sums, before it becomes a bundle."""

from typing import Protocol

import numpy as np
import onnx

from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeEngine, OnnxRuntimeSession

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
    """The top-1 labels of a graph. Images run when their labels are needed, each once."""

    def __init__(self, model: onnx.ModelProto, images: Pixels) -> None:
        """Raises: EngineError: see `open_trial`."""
        self._session = open_trial(model)
        self._images = images
        self._found = np.zeros(0, np.int64)

    def first(self, count: int) -> np.ndarray:
        """Return the labels of the first `count` images, int64 [count].

        Raises:
            EngineError: ONNX Runtime failed.
        """
        if count > len(self._found):
            logits = _run(self._session, self._images, range(len(self._found), count))
            self._found = np.concatenate([self._found, logits.argmax(axis=1)])
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
