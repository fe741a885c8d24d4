"""Weights of linear layers in 4 bits: a layer keeps them if the gate accepts the graph with them.

A linear layer that runs once per image multiplies each of its weights once, so reading them takes most of its time. In
4 bits they are half as many bytes as in INT8. The layers are tried in turn, the largest first, each together with the
layers that were kept before it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgecnn.bundle.layer_report import FourBits, LayerReport
from edgecnn.pipeline.canonical.nodes import module_of
from edgecnn.pipeline.canonical.shapes import inferred_graph
from edgecnn.pipeline.quantization.analysis import decibels, restricted
from edgecnn.pipeline.quantization.block_weights import BlockWeights, block_steps, block_weights
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.gate import Gate, Gated, is_acceptable
from edgecnn.pipeline.quantization.placement import Placement, place
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.planning import round_together
from edgecnn.pipeline.quantization.referee import Judged, Referee
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.progress import Progress, silent


@dataclass(frozen=True)
class PackedLayer:
    """The weights of a linear layer in 4 bits, and its corrected bias: float32 [O], or None to keep the bias."""

    weights: BlockWeights
    bias: np.ndarray | None


@dataclass(frozen=True)
class Compressed:
    """A quantized graph with linear layers in 4 bits.

    Attributes:
        placement: the placement with these layers.
        plan: the plan with these layers.
        layers: the layer reports. The report of a linear layer that was tried has `four_bits`.
        judged: the decision about the graph; None if no layer has 4 bits, or without a gate.
    """

    placement: Placement
    plan: QuantizationPlan
    layers: tuple[LayerReport, ...]
    judged: Judged | None


def compress(
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    layers: tuple[LayerReport, ...],
    *,
    calibration: Calibration | None,
    gate: tuple[Gate, Referee, Gated] | None,
    progress: Progress = silent,
) -> Compressed:
    """Change the INT8 linear layers that run once per image to 4 bits.

    With a gate, a layer stays in INT8 if the drop would be too large, or the agreement with FP32 below `min_agreement`,
    or without `min_agreement` below the 95 % interval of that of INT8.

    Args:
        model: the canonical FP32 graph.
        placement: the placement without layers in 4 bits.
        plan: the plan without layers in 4 bits.
        layers: the layer reports.
        calibration: images for rounding the weights of a layer together; None to round each to the nearest step.
        gate: the gate, its referee, and the INT8 graph that passed; None to accept every layer.
        progress: called before each layer.

    Raises:
        EngineError: ONNX Runtime failed, or an input is not finite on the calibration images.
    """
    nodes = candidates(model, placement)
    packed = pack(model, placement, plan, nodes, calibration)
    graph = rewrite(model, placement, plan)
    asked = None if gate is None else _asked(*gate, graph)
    kept: dict[str, PackedLayer] = {}
    trials: dict[str, FourBits] = {}
    judged = None
    for number, node in enumerate(nodes):
        progress("trying 4 bits", number, len(nodes))
        chosen = kept | {node.input[1]: packed[node.input[1]]}
        tried = rewrite(model, *with_four_bits(model, placement, plan, chosen))
        found = None if asked is None else asked[1].judge(tried)
        trial = FourBits(graph.ByteSize() - tried.ByteSize())
        if asked is not None and found is not None:
            reason = None if is_acceptable(found, asked[0]) else f"gate: 4 bits cost {asked[0].describe(found)}"
            trial = FourBits(trial.saved_bytes, found.drop, found.agreement, asked[0].min_agreement, reason)
        if trial.reason is None:
            kept, graph, judged = chosen, tried, found
        trials[node.input[1]] = trial
    progress("trying 4 bits", len(nodes), len(nodes))
    placement, plan = with_four_bits(model, placement, plan, kept)
    layers = _reported(layers, model, nodes, trials, plan)
    return Compressed(placement, plan, layers, judged)


def candidates(model: onnx.ModelProto, placement: Placement) -> list[onnx.NodeProto]:
    """Return the INT8 linear layers that run once per image, the one with the most weights first."""
    inferred = inferred_graph(model, batch=1)
    rows = {each.name: each.type.tensor_type.shape.dim[0].dim_value for each in inferred.value_info}
    sizes = {each.name: math.prod(each.dims) for each in model.graph.initializer}
    linear = [node for node in model.graph.node if node.op_type == "Gemm" and node.input[1] in placement.weights]
    return sorted((node for node in linear if rows.get(node.input[0]) == 1), key=lambda node: -sizes[node.input[1]])


def pack(
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    nodes: Sequence[onnx.NodeProto],
    calibration: Calibration | None,
) -> dict[str, PackedLayer]:
    """Return the weights of linear layers in 4 bits, by initializer. See `compress`."""
    constants = {each.name: each for each in model.graph.initializer}
    weights = {node.input[1]: numpy_helper.to_array(constants[node.input[1]]) for node in nodes}
    steps = {name: block_steps(values) for name, values in weights.items()}
    if calibration is None:
        return {
            name: PackedLayer(block_weights(each, each.nearest(weights[name])), None) for name, each in steps.items()
        }
    _, alone = restricted(placement, plan, place(model.graph, placement.asked_float, steps))
    rounded = round_together(model, steps, alone.activations, calibration)
    return {name: PackedLayer(block_weights(steps[name], each.integers), each.bias) for name, each in rounded.items()}


def with_four_bits(
    model: onnx.ModelProto, placement: Placement, plan: QuantizationPlan, packed: Mapping[str, PackedLayer]
) -> tuple[Placement, QuantizationPlan]:
    """Return placement and plan with the weights of these layers in 4 bits."""
    fewer, plan = restricted(placement, plan, place(model.graph, placement.asked_float, packed))
    bias_of = {node.input[1]: node.input[2] for node in model.graph.node if node.op_type == "Gemm" and node.input[2:]}
    biases = {bias_of[name]: each.bias for name, each in packed.items() if each.bias is not None and bias_of.get(name)}
    return fewer, dataclasses.replace(
        plan, four_bits={name: each.weights for name, each in packed.items()}, biases=plan.biases | biases
    )


def _asked(gate: Gate, referee: Referee, gated: Gated, graph: onnx.ModelProto) -> tuple[Gate, Referee]:
    """Return gate and referee for 4 bits. Without `min_agreement`, the INT8 graph sets the smallest agreement."""
    least = referee.least_agreement(graph, gated.answers) if gate.min_agreement is None else gate.min_agreement
    return dataclasses.replace(gate, min_agreement=least), referee.asking(least)


def _reported(
    layers: tuple[LayerReport, ...],
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    trials: Mapping[str, FourBits],
    plan: QuantizationPlan,
) -> tuple[LayerReport, ...]:
    """Return the layer reports with the trials. In 4 bits a layer has another noise, and often a float input."""
    constants = {each.name: each for each in model.graph.initializer}
    node_of = {module_of(node): node for node in nodes}
    reports = []
    for report in layers:
        node = node_of.get(report.layer)
        changes: dict[str, Any] = {} if node is None else {"four_bits": trials[node.input[1]]}
        if node is not None and node.input[1] in plan.four_bits:
            weights = numpy_helper.to_array(constants[node.input[1]])
            noise = plan.four_bits[node.input[1]].rounded() - weights
            changes["weight_snr_db"] = decibels(weights, noise)
            if node.input[0] not in plan.activations:
                changes |= {"input_snr_db": None, "clipped": 0.0}
        reports.append(dataclasses.replace(report, **changes))
    return tuple(reports)
