"""`manifest.json`: input, output, labels, preprocessing, digests and provenance of a bundle."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from edgecnn.bundle.graph_entry import Graph, Quantization
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.files.schema import ADDED

MAJOR, MINOR = 2, 5
"""Version of the format. A reader rejects other major versions, and later minor versions that it cannot parse."""

INPUT_NAME, OUTPUT_NAME = "image", "logits"


@dataclass(frozen=True)
class Format:
    """Version of the bundle format."""

    major: int
    minor: int


@dataclass(frozen=True)
class FileEntry:
    """SHA-256 (hexadecimal) and size of a file."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class GraphTensor:
    """Name, element type and shape of the graph's input or output. None in a shape means any size."""

    name: str
    datatype: Literal["uint8", "float32"]
    shape: tuple[int | None, ...]


Stem = Literal["standard", "small"]


@dataclass(frozen=True)
class Network:
    """The parameters needed to build the network again.

    Attributes:
        architecture: its name, such as `resnet18`.
        num_classes: number of logits.
        in_channels: 1 for grey, 3 for colour, 4 for colour and alpha.
        image_size: height and width of its input, in pixels.
        stem: `standard` as in the paper, or `small`, which does not downsample small images.
    """

    architecture: str
    num_classes: int
    in_channels: int
    image_size: tuple[int, int]
    stem: Stem = "standard"


@dataclass(frozen=True)
class ReferenceId:
    """The reference that a bundle was compared with when it was built.

    Attributes:
        kind: a registered `network`, a user's PyTorch `module`, an `onnx` file, or another `bundle`.
        digest: digest of its weights, preprocessing and labels. Bundles with the same digest have the same reference.
        name: its name, such as `torchvision:mobilenet_v2` or `net.onnx`; None in bundles of format 2.2 and earlier.
        source_digest: SHA-256 of the code that builds a module; None for registered networks, or if unknown.
    """

    kind: Literal["network", "module", "onnx", "bundle"]
    digest: str
    name: str | None = field(default=None, metadata=ADDED)
    source_digest: str | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True)
class Scores:
    """How logits become scores in [0, 1], and which labels an image gets.

    A binary classifier with a single sigmoid output z is stored with two labels and the logits (0, z), whose softmax is
    (1 - sigmoid(z), sigmoid(z)).

    Attributes:
        activation: `softmax` over all classes, or `sigmoid` of each. Scores of `sigmoid` do not sum to 1.
        multi_label: whether an image gets all labels whose score is at least `threshold`, or else the best label only.
        threshold: above 0 and below 1. Only for `multi_label`.
        unsure_margin: an answer whose margin is below it is unsure; None in bundles without labelled images for its
            choice, and of format 2.3 and earlier. See `edgecnn.prediction.margins`.
    """

    activation: Literal["softmax", "sigmoid"] = "softmax"
    multi_label: bool = False
    threshold: float = field(default=0.5, metadata=ADDED)
    unsure_margin: float | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        if self.unsure_margin is not None and not 0 <= self.unsure_margin < math.inf:
            raise ValueError(f"unsure_margin must be a number of at least 0, found {self.unsure_margin}")
        if self.multi_label and self.activation != "sigmoid":
            raise ValueError(f"multi_label requires the activation sigmoid, found {self.activation}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must be above 0 and below 1, found {self.threshold}")
        if not self.multi_label and self.threshold != 0.5:
            raise ValueError(f"threshold requires multi_label, found {self.threshold} without it")

    @property
    def accuracy_name(self) -> str:
        """The usual name of the rate of images whose answer is correct."""
        return "exact match" if self.multi_label else "top-1"


SOFTMAX = Scores()  # of most networks


@dataclass(frozen=True)
class DataReference:
    """Images of a measurement: a source, one of its splits, and the digest of that split."""

    source: str
    split: str
    images: int
    digest: str


@dataclass(frozen=True)
class CalibrationRecord:
    """How an INT8 bundle was calibrated.

    Attributes:
        parent: digest of the FP32 bundle.
        method: how the ranges of activations were chosen.
        images: the calibration images.
        seed: seed that selected the images.
        rounding: how weights were rounded: each to the `nearest` step, or all of a layer with `gptq`.
    """

    parent: str
    method: str
    images: DataReference
    seed: int
    rounding: str = "nearest"


@dataclass(frozen=True)
class Provenance:
    """How a bundle was made. It contains no absolute path and no host name.

    Attributes:
        created: UTC time, ISO 8601.
        command: the command line or API call.
        versions: package to version.
        weights: digest of the checkpoint or file with the weights.
        training: the training images; None if unknown.
        opset: opset of the ONNX default domain.
        calibration: calibration of an INT8 bundle, else None.
        reserved: share of the training split that neither training nor quantization used, chosen by the content of
            each image; 0 in bundles of format 2.4 and earlier.
    """

    created: str
    command: str
    versions: dict[str, str]
    weights: str
    training: DataReference | None
    opset: int
    calibration: CalibrationRecord | None = None
    reserved: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        if not 0 <= self.reserved < 1:
            raise ValueError(f"reserved must be in [0, 1), found {self.reserved}")


@dataclass(frozen=True)
class Cascade:
    """How a cascade chooses the images that its accurate graph runs too.

    Attributes:
        threshold: an image runs again if the margin of the fast graph's logits is below it; see
            `edgecnn.prediction.margin_per_image`.
        fast: digest of the bundle with the fast graph.
        accurate: digest of the bundle with the accurate graph.
    """

    threshold: float
    fast: str
    accurate: str

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f"threshold must be a number of at least 0, found {self.threshold}")


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        reference: the reference that the bundle was compared with.
        network: how to build the network again; None if its architecture is not registered.
        graphs: one graph; two for a cascade, the fast one first.
        cascade: how a cascade chooses between its graphs; None for one graph.
        labels: class names in the order of the logits.
        scores: how logits become scores, and which labels an image gets.
        files: every other file of the bundle.
        annotations: reserved for other tools; edgecnn ignores them.
    """

    format: Format
    name: str
    reference: ReferenceId
    network: Network | None
    graphs: tuple[Graph, ...]
    labels: tuple[str, ...]
    input: GraphTensor
    output: GraphTensor
    preprocessing: Preprocessing
    provenance: Provenance
    scores: Scores = field(default_factory=Scores)
    cascade: Cascade | None = field(default=None, metadata=ADDED)
    files: dict[str, FileEntry] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = self.input.shape[1:]
        if len(sizes) != 3 or None in sizes or sizes[2] != self.preprocessing.channels:
            raise ValueError(f"input must be [N, H, W, {self.preprocessing.channels}], found {list(self.input.shape)}")
        if self.output.shape[1:] != (len(self.labels),):
            raise ValueError(f"{len(self.labels)} labels do not match an output of {list(self.output.shape)}")
        if len(self.labels) < 2 and self.scores.activation == "sigmoid" and not self.scores.multi_label:
            raise ValueError(f"scores without multi_label require at least two labels, found {len(self.labels)}")
        if len(self.graphs) not in (1, 2):
            raise ValueError(f"graphs must contain one graph, or two for a cascade, found {len(self.graphs)}")
        if (len(self.graphs) == 2) != (self.cascade is not None):
            raise ValueError("a cascade requires two graphs and the key cascade, found only one of them")
        if self.reference.kind == "network" and self.network is None:
            raise ValueError("the reference kind network requires network, which is missing")

    @property
    def graph(self) -> Graph:
        """The graph of a bundle with one graph."""
        (graph,) = self.graphs
        return graph

    @property
    def precision(self) -> str:
        """Type of most of the graph's weights: `fp32`, `fp16` or `int8`; of a cascade both, such as `int8+fp32`."""
        return "+".join(graph.precision for graph in self.graphs)

    @property
    def quantization(self) -> Quantization | None:
        """Quantization of an INT8 graph, else None; of a cascade, of the INT8 graph with the largest weights."""
        found = [graph.quantization for graph in self.graphs if graph.quantization is not None]
        return max(found, key=lambda each: each.weight_limit, default=None)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of the graph for one image; None if unknown, or for a cascade: they depend on it."""
        return None if self.cascade is not None else self.graph.macs

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = (size for size in self.input.shape[1:] if size is not None)
        return height, width, channels


def tensor_specs(image_shape: tuple[int, int, int], classes: int) -> tuple[GraphTensor, GraphTensor]:
    """Return the input and output of a graph, which have the same names in all bundles."""
    return (
        GraphTensor(INPUT_NAME, "uint8", (None, *image_shape)),
        GraphTensor(OUTPUT_NAME, "float32", (None, classes)),
    )


def utc_now() -> str:
    """Return the current UTC time in the format of records."""
    return datetime.now(UTC).isoformat(timespec="seconds")
