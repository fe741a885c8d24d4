"""Ranges and histograms of each layer's output, from running a graph on the images of the self-test."""

from dataclasses import dataclass

import numpy as np
import onnx

from edgecnn.bundle.four_bits import OPERATOR
from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.canonical.nodes import bias_sums, module_of
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.reporting.families import Family, Subject
from edgecnn.progress import Progress, silent

BINS = 48
_MOST_LAYERS = 300
_WEIGHTED = ("Conv", "Gemm", "MatMul", OPERATOR)


@dataclass(frozen=True)
class Values:
    """The values of a layer's output in one bundle.

    Attributes:
        low: smallest value.
        high: largest value.
        counts: number of values in each of the layer's bins.
    """

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LayerValues:
    """The output values of a layer, before its activation function.

    Attributes:
        layer: name of its PyTorch module, or of its node.
        operator: `Conv`, `Gemm` or `MatMul`.
        start: lower end of the first bin.
        width: width of a bin, the same for all bundles.
        bundles: values by the name of the bundle. A bundle whose graph has no node of this name is missing.
    """

    layer: str
    operator: str
    start: float
    width: float
    bundles: dict[str, Values]


@dataclass(frozen=True)
class FamilyValues:
    """The layers of a family, in the order of the data.

    Attributes:
        images: number of images that ran.
        layers: at most 300 layers.
        left_out: number of other layers.
        failures: why a bundle has no values, by its name.
    """

    images: int
    layers: tuple[LayerValues, ...]
    left_out: int
    failures: dict[str, str]


def values_of(family: Family, *, progress: Progress = silent) -> FamilyValues:
    """Run the images of the first bundle's self-test through every bundle of a family, in ONNX Runtime."""
    images = family.first.bundle.self_test().images
    found: dict[str, dict[str, Histogram]] = {}
    operators: dict[str, onnx.NodeProto] = {}
    failures: dict[str, str] = {}
    left_out = 0
    for subject in family.subjects:
        try:
            subject.bundle.check_one_graph("the ranges of layers")
            model = onnx.load(str(subject.bundle.model))
            nodes = _layers(model.graph)
            left_out = max(left_out, len(nodes) - _MOST_LAYERS)
            nodes = dict(list(nodes.items())[:_MOST_LAYERS])
            found[subject.name] = _observed(model, images, nodes, subject, progress)
            operators |= {name: node for name, node in nodes.items() if name not in operators}
        except (EdgecnnError, ValueError) as error:  # a value is not finite, or the graph's shapes are not consistent
            failures[subject.name] = str(error)
    layers = tuple(
        _layer(node, {bundle: by_name[name] for bundle, by_name in found.items() if name in by_name})
        for name, node in operators.items()
    )
    return FamilyValues(len(images), layers, max(0, left_out), failures)


def _layers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the layers with weights by their outputs, which include the bias."""
    sums = bias_sums(graph)
    return {
        sums[node.output[0]].output[0] if node.output[0] in sums else node.output[0]: node
        for node in graph.node
        if node.op_type in _WEIGHTED
    }


def _observed(
    model: onnx.ModelProto, images: np.ndarray, nodes: dict[str, onnx.NodeProto], subject: Subject, progress: Progress
) -> dict[str, Histogram]:
    histograms = {name: Histogram() for name in nodes}
    observers = {name: [histogram] for name, histogram in histograms.items()}
    Calibration(model, images, progress=progress).observe(observers, f"layers of {subject.name}")
    return histograms


def _layer(node: onnx.NodeProto, histograms: dict[str, Histogram]) -> LayerValues:
    low = min(each.low for each in histograms.values())
    high = max(each.high for each in histograms.values())
    width = (high - low) / BINS or 1.0
    bundles = {}
    for name, each in histograms.items():
        places = np.clip((each.centers - low) / width, 0, BINS - 1).astype(int)
        counts = np.bincount(places, weights=each.counts, minlength=BINS)
        bundles[name] = Values(each.low, each.high, tuple(int(count) for count in counts))
    operator = "Gemm" if node.op_type == OPERATOR else node.op_type
    return LayerValues(module_of(node) or node.name or node.output[0], operator, low, width, bundles)
