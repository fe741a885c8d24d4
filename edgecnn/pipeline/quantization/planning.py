"""Create a `QuantizationPlan` from calibration images: thresholds for activations, integers for weights."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgecnn.pipeline.canonical.nodes import attribute
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.moments import BLOCK, Moments
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.placement import Placement
from edgecnn.pipeline.quantization.plan import (
    ActivationQuantization,
    QuantizationPlan,
    WeightQuantization,
    activation_quantization,
    nearest,
    weight_scales,
)
from edgecnn.pipeline.quantization.rounding import gptq
from edgecnn.pipeline.quantization.steps import Steps, symmetric
from edgecnn.pipeline.quantization.thresholds import threshold

_MOMENTS_MIB = 48
"""Limit of the second moments collected in one pass. A network with more needs several passes."""


def plan_from(
    model: onnx.ModelProto, placement: Placement, histograms: dict[str, Histogram], options: QuantizationOptions
) -> QuantizationPlan:
    """Return a plan from histograms of the activations. It rounds each weight independently."""
    found = {
        name: activation_quantization(
            threshold(histogram, options.method, percentile=options.percentile, symmetric=options.symmetric),
            symmetric=options.symmetric,
        )
        for name, histogram in histograms.items()
    }
    activations = {name: found[shared] for name, shared in placement.activations.items()}
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    bias_of = {weight: (bias, activation) for bias, (activation, weight) in placement.biases.items()}
    weights = {}
    for name in placement.weights:
        values = onnx.numpy_helper.to_array(constants[name])
        bias, activation = bias_of.get(name, ("", ""))
        scales = weight_scales(values, options.weight_limit)
        if activation in activations:
            bias_values = onnx.numpy_helper.to_array(constants[bias])
            input_scale = activations[activation].scale
            scales = weight_scales(values, options.weight_limit, bias=bias_values, input_scale=input_scale)
        weights[name] = nearest(values, scales, options.weight_limit)
    return QuantizationPlan(activations, weights, placement.float_tensors)


def round_weights(
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    calibration: Calibration,
    options: QuantizationOptions,
) -> QuantizationPlan:
    """Round the weights of each INT8 layer together, and correct the remaining mean error with its bias."""
    bias_of = {weight: bias for bias, (_, weight) in placement.biases.items()}
    steps = {name: symmetric(each.scales, options.weight_limit) for name, each in plan.weights.items()}
    weights, biases = dict(plan.weights), dict(plan.biases)
    for name, found in round_together(model, steps, plan.activations, calibration).items():
        weights[name] = WeightQuantization(plan.weights[name].scales, found.integers)
        if name in bias_of:
            biases[bias_of[name]] = found.bias
    return dataclasses.replace(plan, weights=weights, biases=biases)


@dataclass(frozen=True)
class Rounded:
    """The weights of a layer after rounding.

    Attributes:
        integers: int8, of the shape of the weights.
        bias: the corrected bias, float32 [O]. If the layer has none, the correction.
    """

    integers: np.ndarray
    bias: np.ndarray


def round_together(
    model: onnx.ModelProto,
    steps: Mapping[str, Steps],
    activations: Mapping[str, ActivationQuantization],
    calibration: Calibration,
) -> dict[str, Rounded]:
    """Round the weights of each layer with the second moments of its inputs on the calibration images.

    Args:
        model: the FP32 graph.
        steps: initializer of weights to the values that they can take.
        activations: quantized tensor to its quantization. The other tensors are float.
        calibration: the images.

    Raises:
        EngineError: see `Calibration.observe` and `Moments.means`.
    """
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    found = {}
    for layers in _passes(model.graph, steps):
        moments = {
            node.input[1]: Moments(node, tuple(constants[node.input[1]].dims), activations.get(node.input[0]))
            for node in layers
        }
        observers: dict[str, list[Moments]] = {}
        for node in layers:
            observers.setdefault(node.input[0], []).append(moments[node.input[1]])
        calibration.observe(observers, "rounding")
        for node in layers:
            name, seen = node.input[1], moments[node.input[1]]
            values = onnx.numpy_helper.to_array(constants[name])
            integers, correction = gptq(values, steps[name], seen.means())
            shift = seen.shift()
            columns = values.reshape(len(shift), -1, shift.shape[1]).astype(np.float64)  # [G, O / G, K]
            moved = (columns @ shift[:, :, None]).reshape(-1)
            bias = onnx.numpy_helper.to_array(constants[node.input[2]]) if "".join(node.input[2:]) else 0.0
            found[name] = Rounded(integers, (bias + correction + moved).astype(np.float32))
    return found


def _passes(graph: onnx.GraphProto, names: Collection[str]) -> list[list[onnx.NodeProto]]:
    """Return the layers of each pass, those with weights in `names`. The moments of a pass fit in memory together."""
    sizes = {initializer.name: tuple(initializer.dims) for initializer in graph.initializer}
    passes: list[list[onnx.NodeProto]] = []
    room = 0
    for node in graph.node:
        if len(node.input) < 2 or node.input[1] not in names:
            continue
        width = math.prod(sizes[node.input[1]][1:])
        needed = 4 * attribute(node, "group", 1) * width * min(width, BLOCK)  # bytes
        if not passes or needed > room:
            passes.append([])
            room = _MOMENTS_MIB * 2**20
        passes[-1].append(node)
        room -= needed
    return passes
