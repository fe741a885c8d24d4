"""Run an ONNX file once, to learn what it does not state and to see that edgecnn can take it."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.decoding import MODES
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EngineError, OnnxFileError, UsageError
from edgecnn.pipeline.importing.heads import is_one_sigmoid
from edgecnn.pipeline.importing.onnx_file.adapting import Classifier, adapt
from edgecnn.pipeline.importing.onnx_file.channels import order
from edgecnn.pipeline.importing.onnx_file.checking import prepared
from edgecnn.pipeline.importing.onnx_file.image_input import find_input, size_of
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.onnx_file.reading import OnnxFile
from edgecnn.pipeline.importing.onnx_file.running import FileRunner
from edgecnn.pipeline.importing.onnx_file.scores_output import are_probabilities, check_scores, find_output
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeEngine

_IMAGES = 3
_MOVES = 1e-3
"""Largest difference of a logit between batches, as a fraction of the largest logit."""


@dataclass(frozen=True)
class Taken:
    """What a run of an ONNX file has shown.

    Attributes:
        digest: see `OnnxFile.digest`.
        batch: number of images that it takes; None for any number.
        outputs: number of values for each image.
    """

    digest: str
    batch: int | None
    outputs: int


def classifier_of(file: OnnxFile, options: OnnxOptions, batch: int | None, outputs: int) -> Classifier:
    """Return the graph of a file with its ends.

    Args:
        file: the file.
        options: the user's options.
        batch: see `Taken`.
        outputs: see `Taken`; 0 if it is not known yet.

    Raises:
        UsageError: an option is missing, or does not fit the graph.
        OnnxFileError, UnsupportedOperator: edgecnn cannot take the graph.
    """
    model = prepared(file.model, wide=options.widen)
    image = find_input(model.graph, options.layout)
    size = size_of(image, options)
    scores = find_output(model.graph, options.output)
    if outputs:
        check_scores(scores, options.weights, outputs)
    is_binary = is_one_sigmoid(options.weights, outputs)
    is_bgr = options.channel_order == "bgr"
    if is_bgr and image.channels == 1:
        raise UsageError("--channel-order bgr is for colour images, the graph takes grey images: remove it")
    return Classifier(model, image, scores, batch, outputs, is_binary, is_bgr, size)


def take(file: OnnxFile, options: OnnxOptions) -> Taken:
    """Run a file on a few images, convert its graph, and run the result with several numbers of images.

    Raises:
        UsageError: an option is missing, or does not fit the graph.
        OnnxFileError, UnsupportedOperator: edgecnn cannot take the graph.
        EngineError: ONNX Runtime cannot run the graph.
        ProofFailed: the activation at the end of the graph is not what its name says.
    """
    found = classifier_of(file, options, None, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (_IMAGES, *found.size, found.image.channels), np.uint8)
    channels = found.image.channels
    preprocessing = Preprocessing(MODES[channels], None, None, (0.5,) * channels, (0.25,) * channels)
    inputs = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    if not found.image.is_uint8:
        inputs = (inputs / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    if found.is_bgr:
        inputs = inputs[:, order(channels)]
    batch, logits = _run(FileRunner(found.model, found.image, found.scores), inputs, found.image.batch)
    if found.scores.activation is None and options.weights.scores != "logits" and are_probabilities(logits):
        raise OnnxFileError(
            f"the values of the output {found.scores.name!r} are probabilities, but the graph does not end with a "
            f"softmax that can be removed: export the network without softmax, or add --scores logits"
        )
    classifier = classifier_of(file, options, batch, logits.shape[1])
    _check_batch(adapt(classifier, preprocessing).SerializeToString(), pixels, batch)
    return Taken(file.digest, batch, logits.shape[1])


def _run(runner: FileRunner, inputs: np.ndarray, batch: int | None) -> tuple[int | None, np.ndarray]:
    """Return the batch of a file, and the logits of images. A batch that is not fixed may still be 1 in the graph."""
    try:
        return batch, runner.logits(inputs, batch)
    except (EngineError, OnnxFileError):
        if batch is not None:
            raise
        try:
            return 1, runner.logits(inputs, 1)
        except (EngineError, OnnxFileError):
            pass
        raise


def _check_batch(model: bytes, pixels: np.ndarray, batch: int | None) -> None:
    """Check that the logits of an image do not depend on the number of images in its batch."""
    session = OnnxRuntimeEngine().open(model, SessionOptions())
    alone = np.concatenate([session.run(pixels[i : i + 1]) for i in range(len(pixels))])
    try:
        together = session.run(pixels)
    except EngineError:
        together = None
    if together is None or together.shape != alone.shape or _differ(alone, together):
        fixed = "depends on the number of images" if batch is None else f"is fixed at {batch}"
        raise OnnxFileError(f"the graph's batch {fixed}: export the network with a dynamic batch")


def _differ(alone: np.ndarray, together: np.ndarray) -> bool:
    if not (np.isfinite(alone).all() and np.isfinite(together).all()):
        return False  # the proof names logits that are not finite
    return bool(np.abs(alone - together).max() > _MOVES * max(1e-6, float(np.abs(alone).max())))
