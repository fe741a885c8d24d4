"""Find the logits of a graph: the tensor before its final softmax or sigmoid."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import onnx

from edgecnn.errors import OnnxFileError, UsageError
from edgecnn.hints import did_you_mean, few
from edgecnn.pipeline.canonical.nodes import makers_of
from edgecnn.pipeline.importing.onnx_file.image_input import shape_text, sizes_of
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.prediction import sigmoid, softmax

Activation = Literal["Softmax", "LogSoftmax", "Sigmoid"]
_ACTIVATIONS: dict[str, Activation] = {name: name for name in get_args(Activation)}
_SHAPE_ONLY = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast"})
_TOLERANCE = 1e-4
"""Largest difference of a score from the activation of its logit. Scores are in [0, 1]; float32 has 6e-8 there."""


@dataclass(frozen=True)
class ScoresOutput:
    """The output of a graph.

    Attributes:
        name: its name in the graph.
        logits: name of the tensor before the activation; the output's own if there is none.
        activation: the operator at the end of the graph, if it makes scores of logits.
    """

    name: str
    logits: str
    activation: Activation | None


def find_output(graph: onnx.GraphProto, name: str | None) -> ScoresOutput:
    """Find the output of a graph, and the logits behind it.

    Args:
        graph: a whole graph.
        name: the output with the classes, if there are several.

    Raises:
        UsageError: the output is unknown, or must be chosen.
    """
    names = [each.name for each in graph.output]
    listed = few([f"{each.name} {shape_text(sizes_of(each))}" for each in graph.output], 8)
    if name is not None and name not in names:
        raise UsageError(
            f"the graph has no output {name!r}{did_you_mean(name, names)}: choose with --output among {listed}"
        )
    if name is None and len(names) != 1:
        raise UsageError(f"the graph has {len(names)} outputs: choose the one with the classes with --output: {listed}")
    chosen = name or names[0]
    makers, found = makers_of(graph), chosen
    for _ in graph.node:  # a graph that is not checked may have a cycle
        maker = makers.get(found)
        if maker is None or not maker.input:
            break
        if (activation := _ACTIVATIONS.get(maker.op_type)) is not None:
            return ScoresOutput(chosen, maker.input[0], activation)
        if maker.op_type not in _SHAPE_ONLY:
            break
        found = maker.input[0]
    return ScoresOutput(chosen, chosen, None)


def check_scores(output: ScoresOutput, options: WeightsOptions, outputs: int) -> None:
    """Check that `--scores` fits the end of a graph with this number of outputs.

    Raises:
        UsageError: it does not, or it is needed.
        OnnxFileError: the scores of the graph are always 1.
    """
    kind, activation = options.scores, output.activation
    ends = f"the graph ends with {activation}"
    if activation == "Sigmoid":
        if kind is None and outputs > 1:
            raise UsageError(
                f"{ends} of {outputs} values: add --scores sigmoid if an image has one label, or --scores multi-label"
            )
        if kind in ("softmax", "logits"):
            raise UsageError(f"{ends}, found --scores {kind}: use --scores sigmoid or multi-label")
    elif activation is not None:
        if outputs == 1:
            raise OnnxFileError(f"{ends} of one value, which is always the same: export a classifier")
        if kind not in (None, "softmax"):
            raise UsageError(
                f"{ends}, found --scores {kind}: remove it; the softmax is removed from the bundle's graph"
            )


def as_rows(values: np.ndarray, images: int, name: str) -> np.ndarray:
    """Return an output as float32 [N, K]. Dimensions of size 1 may surround the classes.

    Raises:
        OnnxFileError: the output has another shape.
    """
    shape = values.shape
    wide = [size for size in shape[1:] if size != 1]
    if not shape or shape[0] != images or len(wide) > 1 or values.size == 0 or values.dtype != np.float32:
        raise OnnxFileError(
            f"the output {name!r} is {values.dtype} {shape_text([*shape])} for {images} images, expected float32 "
            f"[N, K], one value for each class: edgecnn takes classifiers"
        )
    return values.reshape(images, -1)


def is_activation(activation: Activation, logits: np.ndarray, scores: np.ndarray) -> bool:
    """Return whether scores are the activation of the logits, both float32 [N, K]. Logits must be finite."""
    expected = sigmoid(logits) if activation == "Sigmoid" else softmax(logits)
    found = np.exp(scores.astype(np.float64)) if activation == "LogSoftmax" else scores
    return bool(np.abs(expected - found).max() <= _TOLERANCE)


def are_probabilities(values: np.ndarray) -> bool:
    """Return whether every row of values, float32 [N, K], is a distribution over at least two classes."""
    sums = values.sum(axis=1, dtype=np.float64)
    return values.shape[1] > 1 and bool(values.min() >= 0) and bool(np.abs(sums - 1).max() <= _TOLERANCE)
