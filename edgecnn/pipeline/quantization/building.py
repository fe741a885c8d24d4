"""Build the INT8 graph: calibrate, round, and leave layers in float until the gate passes."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import onnx

from edgecnn.bundle.graph_entry import WeightType
from edgecnn.bundle.layer_report import LayerReport, LowRankLayer
from edgecnn.errors import BundleError, GateFailed, UnsupportedOperator, UsageError
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.quantization.analysis import report_layers, with_wins
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.checks import check_equal
from edgecnn.pipeline.quantization.compression import compress
from edgecnn.pipeline.quantization.gate import Gate, Gated, pass_gate
from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.low_rank import factored, find_factors
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.placement import Placement, place
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.planning import plan_from, round_weights
from edgecnn.pipeline.quantization.rank_choice import candidates
from edgecnn.pipeline.quantization.referee import Referee
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.trade import with_trades
from edgecnn.pipeline.quantization.trial import Pixels
from edgecnn.progress import Progress, silent

_COMPARED = 2  # calibration images for comparing the canonical graph with the original
_ANALYSED = 64  # calibration images for trying each layer in float


@dataclass(frozen=True)
class Built:
    """The INT8 graph, its quantized tensors, its layer reports, the result of the gate, and its low-rank layers."""

    model: onnx.ModelProto
    placement: Placement
    layers: tuple[LayerReport, ...]
    gated: Gated | None
    low_rank: tuple[LowRankLayer, ...] = ()

    @property
    def weights(self) -> dict[str, WeightType]:
        """Type of each weight tensor of a convolution or linear layer, in the graph's order."""
        matrices = [each.name for each in self.model.graph.initializer if len(each.dims) > 1]
        types: dict[str, WeightType] = dict.fromkeys(self.placement.weights, "int8")
        types |= dict.fromkeys(self.placement.four_bits, "int4")
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
        UsageError: the calibration images are blank, or too few for low-rank layers, which also need a gate.
        EngineError: an activation is not finite on the calibration images.
        GateFailed: the gate cannot be met.
    """
    original, model = model, canonicalise(model)
    check_weights(model)
    check_equal(original, model, images[:_COMPARED])
    referee = None if gate is None else gate.referee(model)
    builder = _Builder(images, options, gate, referee, analyze, progress)
    return builder.with_low_rank(model) if options.low_rank else builder.quantized(model)


@dataclass(frozen=True)
class _Builder:
    """Quantizes an FP32 graph, or another form of it. `referee` compares the results with the FP32 graph."""

    images: Pixels
    options: QuantizationOptions
    gate: Gate | None
    referee: Referee | None
    analyze: bool
    progress: Progress

    def quantized(self, model: onnx.ModelProto, *, may_repair: bool = True) -> Built:
        """Return the INT8 form of a canonical graph. Without `may_repair`, no layer returns to float for the gate."""
        placement = place(model.graph)
        if not placement.weights:
            raise UnsupportedOperator(
                "no layer of this network can be quantized: it has no 2-D convolution with constant weights, and its "
                "linear layers are small; use --precision fp16"
            )
        options, images, progress = self.options, self.images, self.progress
        calibration = Calibration(model, images, batch_size=options.batch_size, progress=progress)
        histograms = {name: Histogram() for name in set(placement.activations.values())}
        calibration.observe({name: [histogram] for name, histogram in histograms.items()})
        if calibration.blank:
            raise UsageError("the calibration images are blank: each has one colour only; pass real images")
        plan = plan_from(model, placement, histograms, options)
        if options.rounding == "gptq":
            plan = round_weights(model, placement, plan, calibration, options)
        layers = report_layers(model, placement, plan, histograms)
        if self.analyze:
            layers = with_wins(layers, model, placement, plan, images=images[:_ANALYSED], progress=progress)
        gated = None
        if self.gate is not None and self.referee is not None:
            gated = pass_gate(
                self.gate,
                model,
                placement,
                plan,
                referee=self.referee,
                layers=layers,
                may_repair=may_repair,
                analyze=self.analyze,
                progress=progress,
            )
            placement, plan, layers = gated.placement, gated.plan, gated.layers
        elif self.analyze:
            layers = with_trades(layers, model, placement, plan, image=images[:1], progress=progress)
        if options.linear_weights == "int4":
            return self._in_four_bits(model, placement, plan, calibration=calibration, layers=layers, gated=gated)
        return Built(rewrite(model, placement, plan), placement, layers, gated)

    def _in_four_bits(
        self,
        model: onnx.ModelProto,
        placement: Placement,
        plan: QuantizationPlan,
        *,
        calibration: Calibration,
        layers: tuple[LayerReport, ...],
        gated: Gated | None,
    ) -> Built:
        """Return an INT8 graph with linear layers in 4 bits where the gate allows it."""
        passed = None
        if self.gate is not None and self.referee is not None and gated is not None:
            passed = self.gate, self.referee, gated
        found = compress(
            model,
            placement,
            plan,
            layers,
            calibration=calibration if self.options.rounding == "gptq" else None,
            gate=passed,
            progress=self.progress,
        )
        if gated is not None and self.referee is not None and found.judged is not None:
            judged = found.judged
            expected = self.referee.expected(judged.drop.images)
            gated = dataclasses.replace(gated, after=judged.drop, answers=judged.answers, expected=expected)
        return Built(rewrite(model, found.placement, found.plan), found.placement, found.layers, gated)

    def with_low_rank(self, model: onnx.ModelProto) -> Built:
        """Return the INT8 form of a canonical graph with the smallest low-rank layers that pass the gate.

        Without `min_agreement`, the smallest agreement is the lower end of the 95 % interval of INT8's without low-rank
        layers. If no choice of ranks passes the gate, no layer has a low rank.
        """
        if self.gate is None or self.referee is None:
            raise UsageError("--low-rank needs a gate, which chooses the ranks: pass training images with --gate-data")
        factors = find_factors(model.graph, Calibration(model, self.images, self.options.batch_size, self.progress))
        plain = dataclasses.replace(self, options=dataclasses.replace(self.options, linear_weights="int8"))
        whole = plain.quantized(model)
        assert whole.gated is not None
        least = self.gate.min_agreement
        if least is None:
            least = self.referee.least_agreement(whole.model, whole.gated.answers)
        gate = dataclasses.replace(self.gate, min_agreement=least)
        referee = self.referee.asking(gate.min_agreement)
        builder = dataclasses.replace(self, gate=gate, referee=referee)
        for ranks in candidates(model, factors, gate, referee, self.progress):
            try:
                built = builder.quantized(factored(model, ranks), may_repair=whole.gated.decision == "repaired")
            except GateFailed:
                continue
            if built.model.ByteSize() < whole.model.ByteSize():
                return dataclasses.replace(built, low_rank=tuple(each.report(rank) for each, rank in ranks))
        return whole if self.options == plain.options else self.quantized(model)


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
