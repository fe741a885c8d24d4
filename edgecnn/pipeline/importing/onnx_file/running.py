"""Run an ONNX file as it is, without any graph optimization, and read its logits and its own scores."""

import numpy as np
import onnx

from edgecnn.errors import ProofFailed
from edgecnn.pipeline.importing.onnx_file.image_input import ImageInput
from edgecnn.pipeline.importing.onnx_file.scores_output import ScoresOutput, as_rows, is_activation
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeSession, open_unoptimized

_BATCH = 8  # images of one run if the batch is not fixed: without optimization, a run needs much memory


class FileRunner:
    """Runs the graph of an ONNX file. The only change is a further output: the logits before the activation."""

    def __init__(
        self, model: onnx.ModelProto, image: ImageInput, scores: ScoresOutput, *, threads: int | None = None
    ) -> None:
        """Raises: EngineError: ONNX Runtime rejected the graph."""
        self._image, self._scores = image, scores
        self.session: OnnxRuntimeSession = open_unoptimized(with_outputs(model, [scores.logits]), threads=threads)

    def logits(self, inputs: np.ndarray, batch: int | None) -> np.ndarray:
        """Return the logits of normalised float32 [N, C, H, W] as float32 [N, K], and check the file's own scores.

        Args:
            inputs: normalised images, with the channels in the network's order.
            batch: number of images of each run. The last images are repeated to fill a batch. None for any number.

        Raises:
            ProofFailed: the file's own scores are not the activation of the logits.
            OnnxFileError: the output is not [N, K].
            EngineError: ONNX Runtime failed.
        """
        if batch is None:
            parts = [self._rows(inputs[start : start + _BATCH]) for start in range(0, len(inputs), _BATCH)]
            return np.concatenate(parts)
        count = -(-len(inputs) // batch) * batch
        filled = inputs[np.minimum(np.arange(count), len(inputs) - 1)]
        return np.concatenate([self._rows(filled[i : i + batch]) for i in range(0, count, batch)])[: len(inputs)]

    def _rows(self, inputs: np.ndarray) -> np.ndarray:
        names = [self._scores.logits, self._scores.name]
        logits, scores = (
            as_rows(each, len(inputs), name)
            for each, name in zip(self.session.outputs(names, self.fed(inputs)), names, strict=True)
        )
        activation = self._scores.activation
        if activation is not None and np.isfinite(logits).all() and not is_activation(activation, logits, scores):
            raise ProofFailed(
                f"the output {self._scores.name!r} is not the {activation} of {self._scores.logits!r} for each image, "
                f"so it cannot be removed: export the network without it"
            )
        return logits

    def fed(self, inputs: np.ndarray) -> np.ndarray:
        """Return normalised float32 [N, C, H, W] as the graph takes it."""
        ordered = inputs if self._image.layout == "nchw" else inputs.transpose(0, 2, 3, 1)
        return np.rint(ordered).clip(0, 255).astype(np.uint8) if self._image.is_uint8 else ordered


def with_outputs(model: onnx.ModelProto, names: list[str]) -> bytes:
    """Return the bytes of a graph with further outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {each.name for each in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in present)
    content: bytes = copy.SerializeToString()
    return content
