"""The effect of quantization on each layer: its noise, and the gain of leaving it in float."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import onnx

from edgecnn.bundle.layer_report import LayerReport
from edgecnn.pipeline.canonical.nodes import module_of
from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.placement import Placement, place
from edgecnn.pipeline.quantization.plan import ActivationQuantization, QuantizationPlan
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.progress import Progress, silent


def report_layers(
    model: onnx.ModelProto, placement: Placement, plan: QuantizationPlan, histograms: Mapping[str, Histogram]
) -> tuple[LayerReport, ...]:
    """Return a report of every quantized layer, in the graph's order."""
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    reports = []
    for node in model.graph.node:
        if len(node.input) < 2 or node.input[1] not in plan.weights:
            continue
        histogram, quantization = histograms[placement.activations[node.input[0]]], plan.activations[node.input[0]]
        weights = onnx.numpy_helper.to_array(constants[node.input[1]])
        centers, repeated = histogram.centers, np.sqrt(histogram.counts)
        reports.append(
            LayerReport(
                layer=module_of(node),
                weight_snr_db=decibels(weights, plan.weights[node.input[1]].rounded() - weights),
                input_snr_db=decibels(centers * repeated, (quantization.rounded(centers) - centers) * repeated),
                input_low=histogram.low,
                input_high=histogram.high,
                clipped=_clipped(histogram, quantization),
            )
        )
    return tuple(reports)


def with_wins(
    reports: tuple[LayerReport, ...],
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    *,
    images: np.ndarray,
    progress: Progress = silent,
) -> tuple[LayerReport, ...]:
    """Run images, uint8 [N, H, W, C], with each layer in float, and sort the layers by gain, largest first."""
    expected = trial_logits(model, images)

    def error(layers: Mapping[str, str]) -> float:
        logits = trial_logits(rewrite(model, *leave_in_float(model, placement, plan, layers)), images)
        return float(np.mean((logits.astype(np.float64) - expected) ** 2))

    whole = error({})
    found = []
    for number, report in enumerate(reports):
        progress("analysing layers", number, len(reports))
        won = math.sqrt(whole) - math.sqrt(error({report.layer: "tried"}))
        found.append(dataclasses.replace(report, float_wins=won))
    progress("analysing layers", len(reports), len(reports))
    return tuple(sorted(found, key=lambda report: -(report.float_wins or 0.0)))


def leave_in_float(
    model: onnx.ModelProto, placement: Placement, plan: QuantizationPlan, layers: Mapping[str, str]
) -> tuple[Placement, QuantizationPlan]:
    """Return placement and plan with the given layers (module name to reason) left in float."""
    return restricted(placement, plan, place(model.graph, layers))


def restricted(placement: Placement, plan: QuantizationPlan, fewer: Placement) -> tuple[Placement, QuantizationPlan]:
    """Return another placement, with fewer quantized tensors, and the plan of a placement for these tensors."""
    # A tensor next to a float layer may share the scale of a tensor that now stays in float.
    fewer = dataclasses.replace(fewer, activations={name: placement.activations[name] for name in fewer.activations})
    return fewer, dataclasses.replace(
        plan,
        activations={name: plan.activations[name] for name in fewer.activations},
        weights={name: plan.weights[name] for name in fewer.weights},
        biases={name: value for name, value in plan.biases.items() if name in fewer.biases},
        float_tensors=fewer.float_tensors,
    )


def _clipped(histogram: Histogram, quantization: ActivationQuantization) -> float:
    """Return the share of values outside the quantized range, with the resolution of a bin."""
    low, high = quantization.ends
    half = quantization.scale / 2
    beyond = (histogram.centers < low - half) | (histogram.centers > high + half)
    return float(histogram.counts[beyond].sum() / histogram.counts.sum())


def decibels(signal: np.ndarray, noise: np.ndarray) -> float | None:
    """Return a signal-to-noise ratio in dB; None without signal or without noise."""
    power, lost = (float(np.sum(values.astype(np.float64) ** 2)) for values in (signal, noise))
    return 10 * math.log10(power / lost) if power > 0 and lost > 0 else None
