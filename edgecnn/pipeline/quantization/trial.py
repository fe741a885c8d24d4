"""Try a graph on images before it becomes a bundle: its logits, computed as an exact engine would."""

from typing import Protocol

import numpy as np
import onnx
import onnxruntime

from edgecnn.bundle.manifest import INPUT_NAME
from edgecnn.errors import EngineError
from edgecnn.host.resources import usable_cores

_BATCH = 32


class Pixels(Protocol):
    """Images as uint8 [N, H, W, C]: an array, or what reads a slice of one when it is taken."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Return some of them."""
        ...


def trial_logits(model: onnx.ModelProto, images: Pixels) -> np.ndarray:
    """Return the logits of images as float32 [N, K].

    Integer sums are exact on every processor: what saturates on this one is another question than what rounding costs.

    Raises:
        EngineError: ONNX Runtime failed.
    """
    session = open_session(model)
    starts = range(0, len(images), _BATCH)
    return np.concatenate([run(session, None, images[start : start + _BATCH])[0] for start in starts])


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Load a graph into ONNX Runtime.

    Raises:
        EngineError: it refuses the graph.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = usable_cores()
    settings.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no other base class
        raise EngineError(f"ONNX Runtime cannot load the graph: {_one_line(error)}") from None


def run(session: onnxruntime.InferenceSession, names: list[str] | None, images: np.ndarray) -> list[np.ndarray]:
    """Compute some tensors, or the outputs, of uint8 [N, H, W, C].

    Raises:
        EngineError: ONNX Runtime failed.
    """
    try:
        return [np.asarray(value) for value in session.run(names, {INPUT_NAME: images})]
    except Exception as error:  # see above
        raise EngineError(f"ONNX Runtime failed: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
