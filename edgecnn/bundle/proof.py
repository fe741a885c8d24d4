"""`proof.json`: what was measured when a bundle was built, on which images, against which reference."""

from dataclasses import dataclass

from edgecnn.bundle.manifest import DataReference


@dataclass(frozen=True)
class Comparison:
    """One engine's answers beside the reference's, on the same images.

    Attributes:
        images: how many.
        reference_top1: fraction of the reference's answers that are right; None where the targets are unknown.
        top1: fraction of the engine's answers that are right, likewise.
        agreement: fraction of images on which both give the same answer.
        max_error: largest absolute difference of a logit; None where a logit is not finite.
        rms_error: root mean square of those differences, likewise.
        spread: root mean square deviation of the reference's logits from their mean over the images: what an
            error is to be measured by. A graph that ignores its image cannot score well against it.
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
    """One engine's part of the proof; `precision` is that of the float operators."""

    engine: str
    version: str
    device: str
    precision: str
    comparison: Comparison


@dataclass(frozen=True)
class PairedDrop:
    """What the second classifier's top-1 lost against the first's, as fractions.

    Attributes:
        images: how many both have answered.
        lost: how many only the first answers rightly.
        won: how many only the second answers rightly.
        drop: (lost - won) / images; negative where the second is better.
        low: lower end of the paired 95 % interval.
        high: upper end.
    """

    images: int
    lost: int
    won: int
    drop: float
    low: float
    high: float


@dataclass(frozen=True)
class GateRecord:
    """What an INT8 bundle was allowed to cost, and what it cost, on training images that calibration has not seen.

    Attributes:
        data: the images.
        max_drop: largest drop of top-1 that was allowed, as a fraction.
        certified: whether the 95 % limit of the drop was bounded, rather than the drop itself.
        before: the drop with every layer in INT8.
        after: the drop with the layers left in float that the manifest names.
    """

    data: DataReference
    max_drop: float
    certified: bool
    before: PairedDrop
    after: PairedDrop


@dataclass(frozen=True)
class LayerReport:
    """What quantizing one layer has done.

    Attributes:
        layer: name of the PyTorch module.
        weight_snr_db: signal-to-noise ratio of its weights; None where nothing is lost, or all weights are zero.
        input_snr_db: signal-to-noise ratio of its input on the calibration images, likewise.
        input_low: smallest value of that input.
        input_high: largest value.
        clipped: share of its values beyond the quantized range.
        float_wins: by how much the root mean square error of the logits falls when this layer alone is left in float;
            negative where it rises, None where it was not tried.
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
    """The whole of `proof.json`.

    Attributes:
        reference: whose answers the engines were held against.
        data: the images.
        engines: what each engine answered.
        layers: of an INT8 bundle, what quantizing has done to each layer.
        calibration_images: of an INT8 bundle, the first 16 hexadecimal digits of the sha256 of each image that it was
            calibrated with, so that an evaluation on them can be told.
        gate: of an INT8 bundle, what it was allowed to cost; None where nobody asked.
    """

    reference: str
    data: DataReference
    engines: tuple[EngineProof, ...]
    layers: tuple[LayerReport, ...] = ()
    calibration_images: tuple[str, ...] = ()
    gate: GateRecord | None = None

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("engines must hold one at least")
