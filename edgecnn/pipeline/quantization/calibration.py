"""Run calibration images through an FP32 graph, and let observers look at its tensors as they go by.

No activation outlives its batch: memory is that of one batch, however many images there are.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import onnx

from edgecnn.errors import EngineError
from edgecnn.pipeline.quantization.trial import Pixels, open_trial
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeSession

_BATCH_MIB = 32
"""Activations of a batch, where nobody says how large it is to be."""
_LARGEST_BATCH = 32


class Observer(Protocol):
    """Whatever wants to see a tensor's values."""

    def update(self, values: np.ndarray) -> None:
        """Look at the values of one batch, float32 [N, …]."""
        ...


class Calibration:
    """Images, and an FP32 graph that they are run through as often as there is something to observe.

    Attributes:
        blank: whether every image so far is of one colour.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        images: Pixels,
        *,
        batch_size: int | None = None,
        progress: Progress = silent,
    ) -> None:
        """Begin.

        Args:
            model: the FP32 graph.
            images: the calibration images.
            batch_size: images a run; None for as many as fit a few MiB of activations.
            progress: told of every batch.
        """
        self._model = model
        self._images = images
        self._batch_size = batch_size
        self._progress = progress
        self.blank = True

    def observe(self, observers: Mapping[str, Iterable[Observer]], stage: str = "calibrating") -> None:
        """Show every observer the tensor that it is listed under, a batch of images at a time.

        Raises:
            EngineError: ONNX Runtime failed, or a value is not finite.
        """
        names = sorted(observers)
        session = _observing_session(self._model, names)
        total = len(self._images)
        start = 0
        while start < total:
            self._progress(stage, start, total)
            end = min(start + (self._batch_size or 1), total)  # the first image shows how large the activations are
            images = self._images[start:end]
            self.blank = self.blank and bool((images == images[:, :1, :1]).all())
            values = session.outputs(names, images)
            if self._batch_size is None:
                # Kept for later passes: what they observe may be smaller, but the engine computes all of it again.
                per_image = sum(each.nbytes for each in values)
                self._batch_size = max(1, min(_LARGEST_BATCH, _BATCH_MIB * 2**20 // max(per_image, 1)))
            for name, value in zip(names, values, strict=True):
                if not np.isfinite(value.min() + value.max()):
                    raise EngineError(f"the values of {name} are not finite on the calibration images: it is broken")
                for observer in observers[name]:
                    observer.update(value)
            start = end
        self._progress(stage, total, total)


def _observing_session(model: onnx.ModelProto, names: list[str]) -> OnnxRuntimeSession:
    """Load the graph with the observed tensors as outputs."""
    outputs = len(model.graph.output)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    try:
        return open_trial(model)
    finally:
        del model.graph.output[outputs:]
