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
    session = open_trial(model)
    starts = range(0, len(images), _BATCH)
    return np.concatenate([session.run(images[start : start + _BATCH]) for start in starts])


def open_trial(model: onnx.ModelProto) -> OnnxRuntimeSession:
    """Load a graph in ONNX Runtime on the CPU.

    Integer sums are exact on every processor: a trial measures rounding only, and saturation depends on the device.

    Raises:
        EngineError: ONNX Runtime cannot load the graph.
    """
    return OnnxRuntimeEngine().open(model.SerializeToString(), SessionOptions(exact_int8=True))
