"""Open an ONNX file as a reference."""

import warnings
from dataclasses import replace
from pathlib import Path

from edgecnn.bundle.manifest import Network
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EdgecnnError, OnnxFileError, UsageError, WeightsNote
from edgecnn.files.digest import digest_bytes
from edgecnn.pipeline.importing.heads import labels_of, scores_of
from edgecnn.pipeline.importing.onnx_file.adapting import Classifier
from edgecnn.pipeline.importing.onnx_file.channels import reverse
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.onnx_file.reading import read_onnx
from edgecnn.pipeline.importing.onnx_file.reference import OnnxReference
from edgecnn.pipeline.importing.onnx_file.taking import classifier_of
from edgecnn.pipeline.importing.onnx_file.trial import try_onnx
from edgecnn.pipeline.importing.options import WeightsOptions, preprocessing_of


def open_onnx(path: Path, options: OnnxOptions) -> OnnxReference:
    """Open an ONNX classifier as the reference of a bundle.

    The file is opened in a child process first, with limits on time and memory.

    Args:
        path: an ONNX file at opset 7 or newer. External data must be in its folder.
        options: what the file does not say.

    Warns:
        WeightsNote: a property that the file does not contain was assumed.

    Raises:
        UsageError: an option is missing, or does not fit the graph.
        OnnxFileError, UnsupportedOperator: the file cannot be read, or edgecnn cannot take its graph.
        EngineError: ONNX Runtime cannot run the graph.
        ProofFailed: the activation at the end of the graph is not what its name says.
    """
    unused = [f"--{name}" for name in ("stem", "key") if getattr(options.weights, name) is not None]
    if unused:
        raise UsageError(f"{', '.join(unused)}: for weights of PyTorch, {path} is an ONNX file: remove it")
    taken = try_onnx(path, options)
    try:
        file = read_onnx(path)
        if file.digest != taken.digest:
            raise OnnxFileError("the file changed while it was read: try again")
        classifier = classifier_of(file, options, taken.batch, taken.outputs)
        preprocessing, assumed = _preprocessing(path, classifier, options)
    except EdgecnnError as error:
        raise type(error)(f"{path}: {error}") from None
    scores = scores_of(options.weights, classifier.outputs)
    labels = labels_of(options.weights, classifier.outputs, path)
    if assumed:
        is_given = options.weights.mean is not None and options.weights.std is not None
        colours = " (in the order red, green, blue)" if classifier.is_bgr and not is_given else ""
        text = f"{path} does not say how images are prepared; assumed: {', '.join(assumed)}{colours}"
        warnings.warn(text, WeightsNote, stacklevel=2)
    digest = _with_choices(file.digest, classifier, options)
    return OnnxReference(path.name, classifier, labels, preprocessing, scores, digest)


def _preprocessing(path: Path, classifier: Classifier, options: OnnxOptions) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing, whose mean and standard deviation are in the order of the image's channels."""
    given, channels = options.weights, classifier.image.channels
    if classifier.image.is_uint8:
        given = _without_normalisation(given, channels)
    elif classifier.is_bgr:
        given = replace(given, mean=given.mean and _reversed(given.mean), std=given.std and _reversed(given.std))
    network = Network(path.name, max(2, classifier.outputs), channels, classifier.size)
    return preprocessing_of(network, replace(given, image_size=classifier.size))


def _reversed(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return a mean or a standard deviation in the other order. A wrong number of values is refused later."""
    return reverse(values) if len(values) in (3, 4) else values


def _without_normalisation(given: WeightsOptions, channels: int) -> WeightsOptions:
    """Return the options of a graph that takes uint8 and normalises pixels itself."""
    if (given.mean, given.std, given.pixel_range) != (None, None, None):
        raise UsageError("the graph takes uint8 and normalises pixels itself: remove --mean, --std and --pixel-range")
    return replace(given, mean=(0.0,) * channels, std=(1.0,) * channels, pixel_range="0-255")


def _with_choices(digest: str, classifier: Classifier, options: OnnxOptions) -> str:
    """Return the digest of a file, combined with options that select one of several networks in it."""
    choices = [
        *(["bgr"] if classifier.is_bgr else []),
        *([classifier.image.layout] if not classifier.image.is_guessed else []),
        *([f"output {classifier.scores.name}"] if len(classifier.model.graph.output) > 1 else []),
        *(["widened"] if options.widen else []),
    ]
    return digest_bytes("\n".join([digest, *choices]).encode()) if choices else digest
