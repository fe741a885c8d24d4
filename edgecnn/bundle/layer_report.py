"""What the proof of an INT8 bundle says about each layer."""

from dataclasses import dataclass, field

from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.files.schema import ADDED


@dataclass(frozen=True)
class FloatTrade:
    """Gain and cost of one layer in float, compared with the graph that has every layer in INT8.

    Attributes:
        regained: paired drop of top-1 from the graph with this layer in float to the INT8 graph, on images of the
            gate; None without a gate.
        added_ms: additional time of one image in milliseconds, in ONNX Runtime on the CPU of the machine that built the
            bundle: median of the differences between turns of one round. None if the machine was busy.
        added_ms_low: lower end of its 95 % interval; None likewise.
        added_ms_high: upper end; None likewise.
        added_bytes: additional size of the graph in bytes.
    """

    regained: PairedDrop | None
    added_ms: float | None
    added_ms_low: float | None
    added_ms_high: float | None
    added_bytes: int


@dataclass(frozen=True)
class FourBits:
    """The trial of a linear layer's weights in 4 bits, with the layers in 4 bits that were tried and kept before it.

    Attributes:
        saved_bytes: decrease of the graph's size in bytes, compared with this layer in INT8.
        drop: the drop from FP32, on images of the gate; None without a gate.
        agreement: fraction of these images with the FP32 bundle's answer; None without a gate.
        needed: smallest allowed agreement; None without a gate.
        reason: why the weights stay in 8 bits; None if they are in 4 bits.
    """

    saved_bytes: int
    drop: PairedDrop | None = None
    agreement: float | None = None
    needed: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class LayerReport:
    """Effect of quantization on one layer.

    Attributes:
        layer: name of the PyTorch module.
        weight_snr_db: signal-to-noise ratio of its weights; None without noise or without signal.
        input_snr_db: signal-to-noise ratio of its input on the calibration images; None likewise.
        input_low: smallest value of its input.
        input_high: largest value of its input.
        clipped: fraction of input values outside the quantized range.
        float_wins: decrease of the logits' root mean square error if only this layer is left in float; negative if
            the error increases, None if not measured.
        trade: gain and cost of leaving only this layer in float; None if not measured.
        four_bits: the trial of its weights in 4 bits; None if they were not tried.
    """

    layer: str
    weight_snr_db: float | None
    input_snr_db: float | None
    input_low: float
    input_high: float
    clipped: float
    float_wins: float | None = None
    trade: FloatTrade | None = field(default=None, metadata=ADDED)
    four_bits: FourBits | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True)
class LowRankLayer:
    """A linear layer that two smaller ones replace, `LAYER.reduce` and `LAYER.expand`.

    Attributes:
        layer: name of the PyTorch module.
        outputs: outputs of the layer.
        inputs: inputs of the layer. It had outputs · inputs weights.
        rank: outputs of `reduce` and inputs of `expand`. They have rank · (outputs + inputs) weights.
        kept_variance: fraction of the variance of the outputs on the calibration images that this rank can represent.
    """

    layer: str
    outputs: int
    inputs: int
    rank: int
    kept_variance: float

    @property
    def share(self) -> float:
        """Weights of both new layers as a fraction of the original weights."""
        return self.rank * (self.outputs + self.inputs) / (self.outputs * self.inputs)
