"""Build the INT8 graph: calibrate, round, and leave layers in float until the gate passes."""

from dataclasses import dataclass

import numpy as np
import onnx

from edgecnn.bundle.graph_entry import WeightType
from edgecnn.bundle.proof import LayerReport
from edgecnn.errors import BundleError, UnsupportedOperator, UsageError
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.quantization.analysis import report_layers, with_wins
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.checks import check_equal
from edgecnn.pipeline.quantization.gate import Gate, Gated, pass_gate
from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.placement import Placement, place
from edgecnn.pipeline.quantization.planning import plan_from, round_weights
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.trade import with_trades
from edgecnn.pipeline.quantization.trial import Pixels
from edgecnn.progress import Progress, silent

_COMPARED = 2  # calibration images for comparing the canonical graph with the original
_ANALYSED = 64  # calibration images for trying each layer in float


@dataclass(frozen=True)
class Built:
    """The INT8 graph, its quantized tensors, its layer reports, and the result of the gate."""

    model: onnx.ModelProto
    placement: Placement
    layers: tuple[LayerReport, ...]
    gated: Gated | None

    @property
    def weights(self) -> dict[str, WeightType]:
        """Type of each weight tensor of a convolution or linear layer, in the graph's order."""
        matrices = [each.name for each in self.model.graph.initializer if len(each.dims) > 1]
        types: dict[str, WeightType] = dict.fromkeys(self.placement.weights, "int8")
        return types | {name: "fp32" for name in matrices if name in self.placement.float_tensors}


def build(
    model: onnx.ModelProto,
    images: Pixels,
    *,
    options: QuantizationOptions,
    gate: Gate | None = None,
    analyze: bool = False,
    progress: Progress = silent,
) -> Built:
    """Quantize an FP32 graph with calibration images. `analyze` tries each layer in float even if the gate passes.

    Raises:
        BundleError: the graph's weights are not finite.
        UnsupportedOperator: the graph cannot be quantized, or has no layer that is worth it.
        UsageError: the calibration images are blank.
        EngineError: an activation is not finite on the calibration images.
        GateFailed: the gate cannot be met.
    """
    original, model = model, canonicalise(model)
    check_weights(model)
    check_equal(original, model, images[:_COMPARED])
    placement = place(model.graph)
    if not placement.weights:
        raise UnsupportedOperator(
            "no layer of this network can be quantized: it has no 2-D convolution with constant weights, and its "
            "linear layers are small; use --precision fp16"
        )
    calibration = Calibration(model, images, batch_size=options.batch_size, progress=progress)
    histograms = {name: Histogram() for name in set(placement.activations.values())}
    calibration.observe({name: [histogram] for name, histogram in histograms.items()})
    if calibration.blank:
        raise UsageError("the calibration images are blank: each has one colour only; pass real images")
    plan = plan_from(model, placement, histograms, options)
    if options.rounding == "gptq":
        plan = round_weights(model, placement, plan, calibration, options)
    layers = report_layers(model, placement, plan, histograms)
    if analyze:
        layers = with_wins(layers, model, placement, plan, images=images[:_ANALYSED], progress=progress)
    gated = None
    if gate is not None:
        gated = pass_gate(gate, model, placement, plan, layers=layers, analyze=analyze, progress=progress)
        placement, plan, layers = gated.placement, gated.plan, gated.layers
    elif analyze:
        layers = with_trades(layers, model, placement, plan, image=images[:1], progress=progress)
    return Built(rewrite(model, placement, plan), placement, layers, gated)


def check_weights(model: onnx.ModelProto) -> None:
    """Check that every weight of a graph can be read and is finite.

    Raises:
        BundleError: a weight is not finite, or its data does not match its shape.
    """
    for initializer in model.graph.initializer:
        try:
            values = onnx.numpy_helper.to_array(initializer)
        except (TypeError, ValueError) as error:
            raise BundleError(f"the data of {initializer.name!r} does not match its shape: {error}") from None
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise BundleError(f"{initializer.name} has values that are not finite: train or export the network again")
