"""`proof.json`: the comparison of a bundle with its reference, made when the bundle was built."""

from dataclasses import dataclass

from edgecnn.bundle.manifest import DataReference


@dataclass(frozen=True)
class Comparison:
    """Comparison of one engine with the reference on the same images.

    Attributes:
        images: number of images.
        reference_top1: top-1 of the reference, as a fraction; None if the targets are unknown.
        top1: top-1 of the engine, as a fraction; None if the targets are unknown.
        agreement: fraction of images with the same label.
        max_error: largest absolute difference of a logit; None if a logit is not finite.
        rms_error: root mean square of these differences; None if a logit is not finite.
        spread: root mean square deviation of the reference's logits from their mean over the images. Errors are
            relative to it, because it exposes a graph that ignores its image.
    """

    images: int
    reference_top1: float | None
    top1: float | None
    agreement: float
    max_error: float | None
    rms_error: float | None
    spread: float


@dataclass(frozen=True)
class EngineProof:
    """One engine's part of the proof; `precision` is the precision of the float operators."""

    engine: str
    version: str
    device: str
    precision: str
    comparison: Comparison


@dataclass(frozen=True)
class PairedDrop:
    """Drop of top-1 from a first to a second classifier, on the same images.

    Attributes:
        images: number of images.
        lost: number of images that only the first classifies correctly.
        won: number of images that only the second classifies correctly.
        drop: (lost - won) / images; negative if the second is better.
        low: lower end of the paired 95 % interval, as a fraction.
        high: upper end of the interval.
    """

    images: int
    lost: int
    won: int
    drop: float
    low: float
    high: float


@dataclass(frozen=True)
class GateRecord:
    """The allowed and the measured drop of an INT8 bundle, on training images that were not used in calibration.

    Attributes:
        data: the images.
        max_drop: largest allowed drop of top-1, as a fraction.
        certified: whether the gate applies to the upper 95 % limit of the drop instead of the drop itself.
        before: the drop with every layer in INT8.
        after: the drop with the layers in float that the manifest lists.
    """

    data: DataReference
    max_drop: float
    certified: bool
    before: PairedDrop
    after: PairedDrop


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
    """

    layer: str
    weight_snr_db: float | None
    input_snr_db: float | None
    input_low: float
    input_high: float
    clipped: float
    float_wins: float | None = None


@dataclass(frozen=True)
class Proof:
    """The content of `proof.json`.

    Attributes:
        reference: the reference that the engines were compared with.
        data: the images.
        engines: comparison of each engine.
        layers: effect of quantization on each layer of an INT8 bundle.
        calibration_images: first 16 hexadecimal digits of the SHA-256 of each calibration image of an INT8 bundle, to
            detect an evaluation on these images.
        gate: the gate of an INT8 bundle; None if it was not enabled.
    """

    reference: str
    data: DataReference
    engines: tuple[EngineProof, ...]
    layers: tuple[LayerReport, ...] = ()
    calibration_images: tuple[str, ...] = ()
    gate: GateRecord | None = None

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("engines must contain at least one engine, found none")
