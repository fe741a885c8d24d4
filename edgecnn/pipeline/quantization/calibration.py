"""Run calibration images through an FP32 graph and pass its tensors to observers, batch by batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx

from edgecnn.errors import EngineError
from edgecnn.pipeline.quantization.trial import Pixels, open_trial
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeSession

_BATCH_MIB = 32
"""Limit of the activations of a batch, if no batch size is given."""
_LARGEST_BATCH = 32


class Observer(Protocol):
    """Processes the values of a tensor, float32 [N, …], batch by batch."""

    def update(self, values: np.ndarray) -> None: ...  # noqa: D102


@dataclass
class Calibration:
    """An FP32 graph and the images that run through it once per call of `observe`.

    Attributes:
        model: the graph.
        images: the calibration images.
        batch_size: images per run; None for as many as fit in `_BATCH_MIB` of activations.
        progress: called for every batch.
        blank: whether every image so far has one colour only.
    """

    model: onnx.ModelProto
    images: Pixels
    batch_size: int | None = None
    progress: Progress = silent
    blank: bool = True

    def observe(self, observers: Mapping[str, Iterable[Observer]], stage: str = "calibrating") -> None:
        """Pass the tensors named by the keys to their observers, batch by batch.

        Raises:
            EngineError: ONNX Runtime failed, or a value is not finite.
        """
        names = sorted(observers)
        session = _observing_session(self.model, names)
        start, total = 0, len(self.images)
        while start < total:
            self.progress(stage, start, total)
            end = min(start + (self.batch_size or 1), total)  # the first image determines the size of the activations
            images = self.images[start:end]
            self.blank = self.blank and bool((images == images[:, :1, :1]).all())
            values = session.outputs(names, images)
            if self.batch_size is None:
                # Later passes reuse it: they may observe less, but the engine still computes all tensors.
                per_image = sum(each.nbytes for each in values)
                self.batch_size = max(1, min(_LARGEST_BATCH, _BATCH_MIB * 2**20 // max(per_image, 1)))
            for name, value in zip(names, values, strict=True):
                if not np.isfinite(value.min() + value.max()):
                    raise EngineError(
                        f"{name} has values that are not finite on the calibration images: "
                        f"train or export the network again"
                    )
                for observer in observers[name]:
                    observer.update(value)
            start = end
        self.progress(stage, total, total)


def _observing_session(model: onnx.ModelProto, names: list[str]) -> OnnxRuntimeSession:
    """Load the graph with the observed tensors as outputs."""
    outputs = len(model.graph.output)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    try:
        return open_trial(model)
    finally:
        del model.graph.output[outputs:]
