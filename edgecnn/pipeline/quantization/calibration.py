"""What the activations of an FP32 graph look like on calibration images: streamed, so that memory stays constant."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from edgecnn.bundle.manifest import INPUT_NAME
from edgecnn.errors import EngineError
from edgecnn.runtime.host import usable_cores


@dataclass(frozen=True)
class Range:
    """Smallest and largest value that a tensor took."""

    low: float
    high: float


def observe_ranges(model: onnx.ModelProto, tensors: Iterable[str], batches: Iterable[np.ndarray]) -> dict[str, Range]:
    """Run images through a graph and keep the range of each tensor (min-max calibration).

    Args:
        model: the FP32 graph.
        tensors: names of the tensors to observe.
        batches: uint8 [N, H, W, C] each.

    Raises:
        EngineError: ONNX Runtime failed, or a value is not finite.
    """
    names = sorted(set(tensors))
    session = _observing_session(model, names)
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for batch in batches:
        try:
            values = session.run(names, {INPUT_NAME: batch})
        except Exception as error:  # ONNX Runtime's exceptions share no other base class
            raise EngineError(f"ONNX Runtime failed on the calibration images: {_one_line(error)}") from None
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    for name, smallest, largest in zip(names, low, high, strict=True):
        if not (np.isfinite(smallest) and np.isfinite(largest)):
            raise EngineError(f"the values of {name} are not finite on the calibration images: the network is broken")
    return {name: Range(float(low[i]), float(high[i])) for i, name in enumerate(names)}


def _observing_session(model: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    """Load the graph with the observed tensors as outputs."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    present = {output.name for output in observed.graph.output}
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = usable_cores()
    try:
        return onnxruntime.InferenceSession(observed.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # see above
        raise EngineError(f"ONNX Runtime cannot load the graph: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
