"""Errors and warnings of edgecnn, with the exit codes of the command line.

The exit code is 1 unless a class sets another: 2 for a usage error, 3 for a failed proof, gate, signature or
comparison. A message is one line with the expected value, the value found, and a fix.
"""

from typing import Any


class EdgecnnError(Exception):
    """Base class of all errors of edgecnn."""

    exit_code = 1


class EdgecnnWarning(UserWarning):
    """Base class of all warnings of edgecnn. The command line prints each on one line."""


class SaturationWarning(EdgecnnWarning):
    """INT8 sums saturate on this machine: the answers may differ from the reference's."""


class CacheWarning(EdgecnnWarning):
    """A cache cannot be written. The current start continues without it."""


class ProfileWarning(EdgecnnWarning):
    """A profile is stale or cannot be read. It is not used."""


class OverlapWarning(EdgecnnWarning):
    """An INT8 bundle is measured on its own calibration images."""


class SourceWarning(EdgecnnWarning):
    """Files of a data source are not used, or its classes differ from the model's."""


class LabelsWarning(EdgecnnWarning):
    """Two classes have the same name."""


class WeightsNote(EdgecnnWarning):
    """Weights were unwrapped or adapted, or a property that their file does not contain was assumed."""


class UntrainedWarning(EdgecnnWarning):
    """The reference of a new bundle is no better than chance on the images of its proof."""


class PreprocessingWarning(EdgecnnWarning):
    """The reference of a new bundle has a clearly better top-1 with another preprocessing than the stated one."""


class NodeWarning(EdgecnnWarning):
    """A node of a cluster is left out, or differs from the environment of a job."""


class UsageError(EdgecnnError):
    """The request is invalid on every machine."""

    exit_code = 2


class OutputExists(UsageError):
    """The output exists already, and `force` was not given."""


class TestSplitRefused(UsageError):
    """Calibration images come from the test split."""

    __test__ = False  # pytest would collect the class because of its name


class SourceError(EdgecnnError):
    """A data source is missing, is empty, or contains files that are not images."""


class ImageError(EdgecnnError):
    """An image cannot be decoded."""


class UnknownFormat(ImageError):
    """A file is not an image of a format that can be read here."""


class ImageTooLarge(ImageError):
    """An image has more pixels than the limit. It is rejected before decoding."""


class CheckpointError(EdgecnnError):
    """A checkpoint folder or a weights file is missing, corrupt, or of another network."""


class LabelsError(EdgecnnError):
    """A file does not contain class names."""


class OnnxFileError(EdgecnnError):
    """An ONNX file is missing or damaged, or has a graph that edgecnn cannot take."""


class AnswersError(EdgecnnError):
    """A file does not contain the user's answers to images, or not those of this network."""


class TrainingError(EdgecnnError):
    """Training cannot continue."""


class BundleError(EdgecnnError):
    """A folder or an archive is not an intact bundle."""


class BundleNotFound(BundleError):
    """The folder or its manifest does not exist."""


class ManifestError(BundleError):
    """A manifest does not follow the format."""


class UnsupportedFormat(BundleError):
    """A bundle needs a format version or a feature that this version of edgecnn does not support."""


class UnsafePath(BundleError):
    """A file name points outside the bundle, or the file is a link."""


class FileMissing(BundleError):
    """A file that the manifest names is missing."""


class UnexpectedFile(BundleError):
    """A bundle contains a file that the manifest does not name."""


class DigestMismatch(BundleError):
    """The content of a file does not match its digest."""


class ExternalData(BundleError):
    """A graph refers to data in another file, which an engine would open."""


class WeightBeyondRange(BundleError):
    """An INT8 weight is larger than the manifest claims, so that 16-bit sums may overflow."""


class ForeignOperator(BundleError):
    """A graph has an operator that is not ONNX's own, or defines operators: its code is not checked."""


class UnsupportedOperator(EdgecnnError):
    """A graph has an operator, a type or a structure that cannot be quantized."""


class EngineError(EdgecnnError):
    """An engine rejected a graph, or failed while it ran."""


class EngineMissing(EngineError):
    """The engine's package is not installed."""


class EngineCrashed(EngineError):
    """An engine crashed its process, or stopped answering."""


class OperatorMissing(EngineError):
    """This version of the engine lacks an operator of the graph."""


class DeviceUnavailable(EngineError):
    """The device is not available on this machine or in this build of the engine."""


class PrecisionUnavailable(EngineError):
    """The device does not support the requested precision."""


class ServerError(EdgecnnError):
    """A server answered with an error, or with an invalid response.

    Attributes:
        url: URL of the server.
        status: HTTP status of its response.
        text: its message.
    """

    def __init__(self, message: str, *, url: str, status: int, text: str) -> None:
        super().__init__(message)
        self.url = url
        self.status = status
        self.text = text


class ServerUnavailable(EdgecnnError):
    """No server answered in time, after all attempts.

    Attributes:
        urls: URLs of the servers that were tried.
        reason: why the last attempt failed.
    """

    def __init__(self, message: str, *, urls: tuple[str, ...], reason: str) -> None:
        super().__init__(message)
        self.urls = urls
        self.reason = reason


class MissingExtra(EdgecnnError):
    """An optional dependency is not installed."""


class ProofFailed(EdgecnnError):
    """The answers differ from the PyTorch reference's."""

    exit_code = 3


class GateFailed(ProofFailed):
    """The drop of a quantized bundle exceeds the gate, in INT8 even with its worst layers in FP32.

    Attributes:
        layers: the `LayerReport` of each layer of an INT8 graph, worst first.
        drop: the `PairedDrop` with all layers in INT8, or of the FP16 graph.
    """

    def __init__(self, message: str, *, layers: tuple[Any, ...], drop: Any) -> None:
        super().__init__(message)
        self.layers = layers
        self.drop = drop


class SignatureError(EdgecnnError):
    """The signer of a bundle is not verified.

    This is not a `BundleError`: the bundle itself may be intact.
    """

    exit_code = 3


class SignatureMissing(SignatureError):
    """A bundle has no signature file."""


class SignatureInvalid(SignatureError):
    """A signature does not match: another key, another bundle, or the bundle has changed."""


class SlowerThanBefore(EdgecnnError):
    """A bundle is slower than in the earlier benchmark."""

    exit_code = 3
