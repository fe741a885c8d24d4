"""`manifest.json`: what a bundle is, how to feed it, how to read its answer, and how it was made."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import FormatTooNew, ManifestError, UnsafePath, UsageError
from edgecnn.files import schema

MAJOR, MINOR = 1, 2
"""Version of the format: a reader refuses a later major; a later minor adds only what older readers may ignore."""

INPUT_NAME, OUTPUT_NAME = "image", "logits"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Format:
    """Version of the bundle format."""

    major: int
    minor: int


@dataclass(frozen=True)
class FileEntry:
    """What a file must be: its sha256 in hexadecimal, and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class TensorSpec:
    """Name, element type and shape of a tensor at the graph's edge; None in a shape is any number."""

    name: str
    datatype: Literal["uint8", "float32"]
    shape: tuple[int | None, ...]


Stem = Literal["standard", "small"]


@dataclass(frozen=True)
class Network:
    """What was built: enough to build it again.

    Attributes:
        architecture: its name, such as `resnet18`.
        num_classes: number of logits.
        in_channels: 1 for grey, 3 for colour.
        image_size: height and width that it was built for, in pixels.
        stem: `standard` is the paper's; `small` keeps the size of small images, where an architecture has it.
    """

    architecture: str
    num_classes: int
    in_channels: int
    image_size: int
    stem: Stem = "standard"


@dataclass(frozen=True)
class Quantization:
    """How the numbers of an INT8 graph are laid out.

    Attributes:
        activations: `uint8` with a zero point is asymmetric, `int8` without is symmetric (TensorRT takes only that).
        weights: always signed, symmetric, one scale a channel.
        weight_limit: largest magnitude of a quantized weight: 127 is the full range; 64 is the largest at which
            two products with uint8 activations cannot overflow 16 bits: 2 · 255 · 64 = 32,640.
        float_tensors: what stays in float32, and why.
    """

    activations: Literal["uint8", "int8"]
    weights: Literal["int8"]
    weight_limit: int
    float_tensors: dict[str, str]

    @property
    def symmetric(self) -> bool:
        """Whether activations have no zero point."""
        return self.activations == "int8"


@dataclass(frozen=True)
class DataReference:
    """Images that a figure was computed on: a source, one of its splits, and the digest of that split."""

    source: str
    split: str
    images: int
    digest: str


@dataclass(frozen=True)
class CalibrationRecord:
    """What the INT8 numbers were computed from, and how.

    Attributes:
        parent: digest of the FP32 bundle.
        method: how the ranges of activations were chosen.
        images: what they were chosen on.
        seed: of the choice of images.
        rounding: how weights were rounded: each to the `nearest` step, or those of a layer `together`.
    """

    parent: str
    method: str
    images: DataReference
    seed: int
    rounding: str = "nearest"


@dataclass(frozen=True)
class Provenance:
    """How a bundle was made; no absolute path and no host name stands here.

    Attributes:
        created: UTC time, ISO 8601.
        command: the command line or API call.
        versions: package to version.
        checkpoint: digest of the checkpoint, or of the weights that came from elsewhere.
        training: the images that it was trained on; None where nobody knows.
        opset: of the ONNX default domain.
        calibration: for INT8, else None.
    """

    created: str
    command: str
    versions: dict[str, str]
    checkpoint: str
    training: DataReference | None
    opset: int
    calibration: CalibrationRecord | None = None


@dataclass(frozen=True)
class Manifest:
    """The whole of `manifest.json`.

    Attributes:
        reference: digest of the PyTorch reference: checkpoint, preprocessing and labels. It ties together the bundles
            of one model.
        labels: class names in the order of the logits.
        macs: multiply-accumulates of the graph for one image, of convolutions and matrix products; None where an
            edgecnn wrote it that did not count them (format 1.1 and earlier).
        files: every other file of the bundle.
        annotations: free for others; edgecnn writes and reads nothing there.
    """

    format: Format
    name: str
    network: Network
    precision: Literal["fp32", "int8"]
    quantization: Quantization | None
    reference: str
    labels: tuple[str, ...]
    input: TensorSpec
    output: TensorSpec
    preprocessing: Preprocessing
    provenance: Provenance
    macs: int | None = None
    files: dict[str, FileEntry] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = self.input.shape[1:]
        if len(sizes) != 3 or None in sizes or sizes[2] != self.preprocessing.channels:
            raise ValueError(f"input must be [N, H, W, {self.preprocessing.channels}], found {list(self.input.shape)}")
        if self.output.shape[1:] != (len(self.labels),):
            raise ValueError(f"{len(self.labels)} labels do not fit an output of {list(self.output.shape)}")
        if (self.precision == "int8") != (self.quantization is not None):
            raise ValueError(f"precision is {self.precision}, yet quantization is {self.quantization}")
        if self.macs is not None and self.macs < 0:
            raise ValueError(f"macs must be at least 0, found {self.macs}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = (size for size in self.input.shape[1:] if size is not None)
        return height, width, channels


def tensor_specs(image_shape: tuple[int, int, int], classes: int) -> tuple[TensorSpec, TensorSpec]:
    """Return the input and output that every graph of ours has."""
    return (
        TensorSpec(INPUT_NAME, "uint8", (None, *image_shape)),
        TensorSpec(OUTPUT_NAME, "float32", (None, classes)),
    )


def utc_now() -> str:
    """Return the present UTC time as every record writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_name(name: str) -> str:
    """Return a bundle's name if it can be one.

    Raises:
        UsageError: it has other characters than letters, digits, `.`, `_`, `-`, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a bundle: use up to 100 letters, digits, '.', '_' and '-'")
    return name


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest, strictly.

    Raises:
        FormatTooNew: a later edgecnn wrote it.
        UnsafePath: a file name would leave the folder.
        ManifestError: anything else that does not follow the format.
    """
    minor = _check_major(content)
    try:
        manifest = schema.parse(Manifest, content)
    except schema.SchemaError as error:
        if minor > MINOR:
            raise FormatTooNew(
                f"this bundle has format {MAJOR}.{minor}, this edgecnn reads {MAJOR}.{MINOR} ({error}): "
                f"upgrade edgecnn on this machine"
            ) from None
        raise ManifestError(f"manifest.json does not follow the format: {error}") from None
    if not _NAME.fullmatch(manifest.name):  # other files are named after it
        raise UnsafePath(f"manifest.json has the name {manifest.name!r}, which is not a plain name")
    for name in manifest.files:
        if not _NAME.fullmatch(name):
            raise UnsafePath(f"manifest.json names the file {name!r}, which is not a plain name inside the bundle")
    return manifest


def _check_major(content: bytes) -> int:
    """Look at the version alone, before the strict reading: a newer manifest may be shaped otherwise.

    Returns the minor version, 0 where there is none to read.
    """
    try:
        version = json.loads(content)["format"]
        major, minor = version["major"], version["minor"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0  # the strict reader says what is wrong
    if isinstance(major, int) and major != MAJOR:
        raise FormatTooNew(
            f"this bundle has format {major}, this edgecnn reads format {MAJOR}: upgrade edgecnn on this machine"
        )
    return minor if isinstance(minor, int) else 0
