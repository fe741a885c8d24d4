"""The ONNX file as a session: everything that edgecnn makes of the file is compared with it."""

import contextlib
from collections.abc import Iterable

import numpy as np

from edgecnn.bundle.decoding import ImageLike, decode
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EngineError
from edgecnn.pipeline.importing.onnx_file.adapting import Classifier
from edgecnn.pipeline.importing.onnx_file.channels import order
from edgecnn.pipeline.importing.onnx_file.running import FileRunner, with_outputs
from edgecnn.pipeline.transforms import network_input, torchvision_transform
from edgecnn.runtime.engines.engine import deliver
from edgecnn.runtime.engines.onnxruntime import open_unoptimized


class OnnxSession:
    """An `IndependentSession` of an ONNX file in ONNX Runtime, in FP32 on the CPU, without graph optimizations.

    Images are prepared with torchvision's transforms and NumPy, and not with the bundle's preprocessing and graph.
    """

    def __init__(self, classifier: Classifier, preprocessing: Preprocessing, *, threads: int | None = None) -> None:
        """Raises: EngineError: ONNX Runtime rejected the graph."""
        self._runner: FileRunner | None = FileRunner(
            classifier.model, classifier.image, classifier.scores, threads=threads
        )
        self.info = self._runner.session.info
        self.instances = 1
        self._classifier = classifier
        self._preprocessing = preprocessing

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        inputs = network_input(images, self._preprocessing).numpy()
        return deliver(self.run_normalised(self._ordered(inputs)), out)

    def logits_of(self, images: Iterable[ImageLike]) -> np.ndarray:
        """See `IndependentSession.logits_of`.

        Raises:
            ProofFailed: the file's own scores are not the softmax or sigmoid of the logits.
        """
        return self.run_normalised(self.inputs_of(images))

    def inputs_of(self, images: Iterable[ImageLike], *, preprocessing: Preprocessing | None = None) -> np.ndarray:
        """See `IndependentSession.inputs_of`. The inputs of a graph that takes uint8 are levels in 0..255."""
        preprocessing = preprocessing or self._preprocessing
        transform = torchvision_transform(preprocessing)
        return self._ordered(np.stack([transform(decode(image, preprocessing.mode)).numpy() for image in images]))

    def run_normalised(self, inputs: np.ndarray) -> np.ndarray:
        """See `IndependentSession.run_normalised`, and `logits_of` for errors."""
        if self._runner is None:
            raise EngineError("this session is closed: open the ONNX file again")
        logits = self._runner.logits(inputs, self._classifier.batch)
        return np.pad(logits, [(0, 0), (1, 0)]) if self._classifier.is_binary else logits

    def tensors_of(self, names: list[str], images: np.ndarray) -> list[np.ndarray]:
        """Return tensors of the file for uint8 [N, H, W, C], as they are in its graph.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        if self._runner is None:
            raise EngineError("this session is closed: open the ONNX file again")
        batch = self._classifier.batch or len(images)
        filled = images[np.minimum(np.arange(batch), len(images) - 1)]
        inputs = self._runner.fed(self._ordered(network_input(filled, self._preprocessing).numpy()))
        session = open_unoptimized(with_outputs(self._classifier.model, names))
        with contextlib.closing(session):
            return [each[: len(images)] for each in session.outputs(names, inputs)]

    def _ordered(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, order(self._classifier.image.channels)] if self._classifier.is_bgr else inputs

    def close(self) -> None:
        """See `Session.close`."""
        self._runner = None
