"""Store the weights of a graph in float16. The graph computes in float32.

A float16 initializer and a Cast to float32 replace each tensor of weights. ONNX Runtime and OpenVINO evaluate such a
Cast when they load a graph. They run the operators of the FP32 graph, at its speed.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecnn.bundle.graph_entry import WeightType
from edgecnn.bundle.self_test import spread
from edgecnn.errors import UsageError
from edgecnn.pipeline.canonical.nodes import attribute
from edgecnn.pipeline.canonical.support import check_source
from edgecnn.pipeline.quantization.building import check_weights
from edgecnn.pipeline.quantization.trial import Pixels, trial_logits

SMALLEST = 64
"""Tensors with fewer values stay in float32: the Cast takes as many bytes as float16 saves."""

_LARGEST, _NORMAL = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_normal)
_ALLOWED_EFFECT = 1e-4  # of the spread of the logits, as for an exported graph


@dataclass(frozen=True)
class Halved:
    """A graph with weights in float16.

    Attributes:
        model: the graph.
        weights: type of each tensor in float16, and of each tensor with more than one dimension; in the graph's order.
        float_tensors: tensor that stays in float32, although it is large, to the reason.
    """

    model: onnx.ModelProto
    weights: dict[str, WeightType]
    float_tensors: dict[str, str]


def halve(model: onnx.ModelProto, images: Pixels) -> Halved:
    """Convert the weights of an FP32 graph to float16.

    Tensors stay in float32 if they have less than `SMALLEST` values, or are constants of a normalisation. So do tensors
    that float16 cannot represent: values beyond ±65504, and values below 6.1e-5 whose rounding changes the logits of
    `images` by more than 1e-4 of their spread.

    Raises:
        BundleError: the graph's weights are not finite.
        UnsupportedOperator: the graph is quantized already, has custom operators, or has data in another file.
        UsageError: no tensor can be stored in float16.
        EngineError: ONNX Runtime failed.
    """
    check_source(model)
    model = _with_initializers(model)
    check_weights(model)
    tensors = {tensor.name: tensor for tensor in _weights(model.graph)}
    large = [name for name, tensor in tensors.items() if math.prod(tensor.dims) >= SMALLEST]
    left: dict[str, str] = {}
    for name in large:
        peak = float(np.abs(numpy_helper.to_array(tensors[name])).max())
        if peak > _LARGEST:
            left[name] = f"float16 overflows: it ends at {_LARGEST:.0f}, and a value has the magnitude {peak:.3g}"
    left |= _underflowing(model, [name for name in large if name not in left], images)
    chosen = [name for name in large if name not in left]
    if not chosen:
        reason = next((f"{name}: {reason}" for name, reason in left.items()), f"none has {SMALLEST} values in float32")
        raise UsageError(f"no weights of this network can be stored in float16 ({reason}): keep FP32")
    types: dict[str, WeightType] = {
        name: "fp16" if name in chosen else "fp32"
        for name, tensor in tensors.items()
        if name in chosen or len(tensor.dims) > 1
    }
    return Halved(_with_halves(model, chosen), types, left)


def _with_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with initializers instead of Constant nodes. Some exporters store weights in such nodes."""
    constants = [node for node in model.graph.node if node.op_type == "Constant" and attribute(node, "value", None)]
    if not constants:
        return model
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for node in constants:
        tensor = made.graph.initializer.add()
        tensor.CopyFrom(attribute(node, "value", None))
        tensor.name = node.output[0]
        made.graph.node.remove(node)
    return made


def _weights(graph: onnx.GraphProto) -> Iterable[onnx.TensorProto]:
    """Yield the float32 initializers, without the constants of normalisations: they are small and span many decades."""
    others = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        if node.op_type.endswith("Normalization"):
            others.update(node.input[1:])
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name not in others:
            yield tensor


def _underflowing(model: onnx.ModelProto, names: Collection[str], images: Pixels) -> dict[str, str]:
    """Return the tensors whose values below float16's normal range matter for the logits, with the reason.

    Only these values are rounded for the comparison. Most networks have some, and they rarely matter: float16
    represents them with an error of at most 3e-8.
    """
    if not names:
        return {}
    expected = trial_logits(model, images)

    def effect(rounded: Collection[str]) -> float:
        found = trial_logits(_with_small_rounded(model, rounded), images)
        with np.errstate(invalid="ignore"):  # a division by a value that becomes 0
            error = float(np.abs(found - expected).max())
        return error / max(spread(expected), float(np.finfo(np.float32).tiny))

    if effect(names) <= _ALLOWED_EFFECT:
        return {}
    effects = {name: effect([name]) for name in names}
    return {
        name: f"float16 underflows: rounding the values below {_NORMAL:.2g} changes the logits by {found:.2g} of their "
        f"spread"
        for name, found in effects.items()
        if not found <= _ALLOWED_EFFECT / len(names)  # all others together keep to the limit; `not` includes NaN
    }


def _with_small_rounded(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy of the graph with the values below float16's normal range rounded in these initializers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        if tensor.name in names:
            values = numpy_helper.to_array(tensor)
            rounded = np.where(np.abs(values) < _NORMAL, values.astype(np.float16).astype(np.float32), values)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    return made


def _with_halves(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy of the graph with these initializers in float16, each with a Cast that has the tensor's name."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    casts = []
    for tensor in graph.initializer:
        name = tensor.name
        if name not in names:
            continue
        half = f"{name}/half"
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], f"{name}/Cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return made
