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
class Proof:
    """The whole of `proof.json`; `reference` says whose answers the engines were held against."""

    reference: str
    data: DataReference
    engines: tuple[EngineProof, ...]

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("engines must hold one at least")
