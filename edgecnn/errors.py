"""Every error that edgecnn raises on purpose, and the exit code that the command line gives it.

The exit code is 1 unless a class sets another: 2 for a wrong request, 3 where a proof, a gate, a signature or a
comparison does not hold. A message is one line: what was expected, what was found, what to do.
"""

from typing import Any


class EdgecnnError(Exception):
    """Base of all errors that edgecnn raises on purpose."""

    exit_code = 1


class EdgecnnWarning(UserWarning):
    """Base of the warnings; the command line prints one as a line."""


class SaturationWarning(EdgecnnWarning):
    """INT8 sums overflow on this machine: the answers may not be the reference's."""


class CacheWarning(EdgecnnWarning):
    """What was to be kept for the next start could not be written; this start goes on without."""


class ProfileWarning(EdgecnnWarning):
    """What was tuned on this machine does not hold any more, or cannot be read: it is not used."""


class OverlapWarning(EdgecnnWarning):
    """An INT8 bundle is measured on images that it was calibrated with."""


class UsageError(EdgecnnError):
    """What was asked for cannot be, whatever the machine."""

    exit_code = 2


class OutputExists(UsageError):
    """The output stands already and replacing it was not asked for."""


class TestSplitRefused(UsageError):
    """Calibration was asked to look at images that the result will be judged on."""

    __test__ = False  # its name makes pytest believe that it is a test


class SourceError(EdgecnnError):
    """A data source is not there, is empty, or holds something else than images."""


class ImageError(EdgecnnError):
    """An image that cannot be decoded."""


class ImageTooLarge(ImageError):
    """An image with more pixels than the limit; it was refused before it was decoded."""


class CheckpointError(EdgecnnError):
    """A checkpoint folder that is missing, incomplete or corrupt."""


class TrainingError(EdgecnnError):
    """Training cannot go on."""


class BundleError(EdgecnnError):
    """A folder, or an archive, that is not an intact bundle."""


class BundleNotFound(BundleError):
    """There is no folder, or no manifest in it."""


class ManifestError(BundleError):
    """A manifest that does not follow the format."""


class UnsupportedFormat(BundleError):
    """A bundle in a format that this edgecnn does not read, or that needs what it does not run."""


class UnsafePath(BundleError):
    """A file name that leaves the folder, or a link inside it."""


class FileMissing(BundleError):
    """A file that the manifest names is not there."""


class UnexpectedFile(BundleError):
    """A file that the manifest does not name."""


class DigestMismatch(BundleError):
    """A file whose bytes are not those that were sealed."""


class ExternalData(BundleError):
    """A graph whose data is said to be in another file, which an engine would open."""


class WeightBeyondRange(BundleError):
    """An INT8 weight is larger than the manifest claims, so that sums of 16 bits may overflow after all."""


class EngineError(EdgecnnError):
    """An engine refused a model or failed while it ran."""


class EngineMissing(EngineError):
    """The engine's package is not installed."""


class EngineCrashed(EngineError):
    """An engine took its process down, or did not answer any more."""


class DeviceUnavailable(EngineError):
    """This machine, or this build of the engine, does not have the device."""


class PrecisionUnavailable(EngineError):
    """The device does not compute in the precision that was asked for."""


class ServerError(EdgecnnError):
    """A server answered with an error, or with something that is no answer.

    Attributes:
        url: of the server.
        status: of its answer, in HTTP.
        text: what it said.
    """

    def __init__(self, message: str, *, url: str, status: int, text: str) -> None:
        super().__init__(message)
        self.url = url
        self.status = status
        self.text = text


class ServerUnavailable(EdgecnnError):
    """No server answered in time, as often as it was asked.

    Attributes:
        urls: of the servers that might have answered.
        reason: why the last of them that was asked did not.
    """

    def __init__(self, message: str, *, urls: tuple[str, ...], reason: str) -> None:
        super().__init__(message)
        self.urls = urls
        self.reason = reason


class MissingExtra(EdgecnnError):
    """A part of edgecnn that is not installed here."""


class ProofFailed(EdgecnnError):
    """It ran, but the answers are not those of the PyTorch reference."""

    exit_code = 3


class GateFailed(ProofFailed):
    """INT8 costs more answers than were allowed, also with the worst layers in float.

    Attributes:
        layers: the `LayerReport` of each layer, worst first.
        drop: the `PairedDrop` with all of them in INT8.
    """

    def __init__(self, message: str, *, layers: tuple[Any, ...], drop: Any) -> None:
        super().__init__(message)
        self.layers = layers
        self.drop = drop


class SignatureError(EdgecnnError):
    """It is not proven who made a bundle.

    It is no `BundleError`: the bundle may well be intact. Who made it is a proof like the other, and does not hold.
    """

    exit_code = 3


class SignatureMissing(SignatureError):
    """A bundle that nobody has signed: there is no file of that name."""


class SignatureInvalid(SignatureError):
    """A file that is not this key's signature of this bundle: another key's, another bundle's, or of what it was."""


class SlowerThanBefore(EdgecnnError):
    """It ran, and is slower than in the benchmark that it was held against."""

    exit_code = 3
