"""`proof.json`: the comparison of a bundle with its reference, made when the bundle was built."""

from dataclasses import dataclass, field, replace
from typing import Literal

from edgecnn.bundle.cascade_record import CascadeRecord
from edgecnn.bundle.layer_report import LayerReport, LowRankLayer
from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.files.schema import ADDED

Decision = Literal["passed", "repaired", "undecided"]
PreprocessingCheck = Literal["trained", "stated", "answers", "function"]
"""How the preprocessing was checked. `trained`: edgecnn trained the network with it. `stated`: it was not checked.
`answers`: the user's own answers to images were compared. `function`: pixels of the user's own code were compared."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of one engine with the reference on the same images.

    If an image may have several labels, its answer is the set of them, and top-1 is the fraction of exact matches.

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

    def summary(self, accuracy_name: str) -> str:
        """Return accuracy and agreement in one line: `top-1 98.70% (reference 98.96%), agreement 99.74% on 385 images`.

        Args:
            accuracy_name: see `Scores.accuracy_name`. The accuracy is left out if the targets are unknown.
        """
        known = self.top1 is not None and self.reference_top1 is not None
        accuracy = f"{accuracy_name} {self.top1:.2%} (reference {self.reference_top1:.2%}), " if known else ""
        return f"{accuracy}agreement {self.agreement:.2%} on {self.images} images"


@dataclass(frozen=True)
class ClassCounts:
    """Answers to the images of one class.

    The class of an image is its target. If the targets are unknown, it is the reference's label, and an answer is lost
    if it differs. If an image may have several labels, each label is compared on all images: the answer is whether an
    image has it.

    Attributes:
        label: name of the class; with its index if several classes have this name.
        images: number of images.
        agreed: number of images with the reference's label.
        lost: number of images that only the reference classifies correctly.
        won: number of images that only the bundle classifies correctly.
    """

    label: str
    images: int
    agreed: int
    lost: int
    won: int


@dataclass(frozen=True)
class WorstClass:
    """The class with the strongest evidence of a drop.

    Attributes:
        label: name of the class.
        agreed: number of its images with the reference's label.
        drop: the drop on its images. The interval is wider than 95 %, because this class was chosen among many: with a
            probability of 95 %, the intervals of all classes contain their drops (Bonferroni).
    """

    label: str
    agreed: int
    drop: PairedDrop


@dataclass(frozen=True)
class PerClass:
    """Answers per class.

    Attributes:
        worst: the class whose drop has the largest lower end of its interval; None if no class has a drop.
        classes: the classes with images, in the order of the logits. In a proof, only those with an answer that
            differs from the reference's.
    """

    worst: WorstClass | None
    classes: tuple[ClassCounts, ...]

    def differing(self) -> "PerClass":
        """Return a copy without the classes in which every answer agrees."""
        return replace(self, classes=tuple(each for each in self.classes if each.agreed < each.images))


@dataclass(frozen=True)
class EngineProof:
    """One engine's part of the proof.

    `precision` is the precision of the float operators. `per_class` is None in bundles of format 2.1 and earlier.
    """

    engine: str
    version: str
    device: str
    precision: str
    comparison: Comparison
    per_class: PerClass | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True)
class GateRecord:
    """The allowed and the measured drop of a quantized bundle, on training images that calibration did not use.

    Attributes:
        data: the images that were used.
        max_drop: largest allowed drop of top-1, as a fraction.
        certified: whether an undecided gate fails.
        before: the drop with every layer in INT8, or of the FP16 graph.
        after: the drop with the layers in float that the manifest lists.
        decision: `passed`: the interval of `before` is below the limit. `repaired`: layers were left in float.
            `undecided`: the interval of `before` contains the limit, and every layer stays in INT8. None in bundles of
            format 2.1 and earlier, whose gate compared the drop without its interval.
        images_needed: about how many images would decide whether `after` is below the limit, at the same rates of lost
            and won answers; None if it is decided, or if more than 1,000,000 images would be needed.
        per_class: the answers of `after` per class; None in bundles of format 2.1 and earlier.
        min_agreement: smallest allowed agreement with the FP32 bundle, as a fraction; None for no limit.
        agreement: fraction of the images of `after` with the FP32 bundle's answer; None in bundles of format 2.4 and
            earlier.
    """

    data: DataReference
    max_drop: float
    certified: bool
    before: PairedDrop
    after: PairedDrop
    decision: Decision | None = field(default=None, metadata=ADDED)
    images_needed: int | None = field(default=None, metadata=ADDED)
    per_class: PerClass | None = field(default=None, metadata=ADDED)
    min_agreement: float | None = field(default=None, metadata=ADDED)
    agreement: float | None = field(default=None, metadata=ADDED)

    @property
    def is_undecided(self) -> bool:
        """Whether the interval of `after` contains the limit; false if the gate compared the drop without it."""
        return self.decision is not None and self.after.against(self.max_drop) == "undecided"


@dataclass(frozen=True)
class UnsureRecord:
    """The effect of the manifest's `unsure_margin` on the images of the proof.

    Attributes:
        chosen_on: the images from which the margin was chosen; None if the user set it.
        images: number of images of the proof.
        sure: number of answers whose margin is at least `unsure_margin`.
        right: number of right answers among these; None if the targets are unknown.
    """

    chosen_on: DataReference | None
    images: int
    sure: int
    right: int | None


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
        gate: the gate of a quantized bundle; None if it was not enabled.
        preprocessing: how the preprocessing was checked; None in bundles of format 2.2 and earlier.
        checked_images: number of the user's answers or image files that the check compared; None if it was not checked.
        unsure: the effect of the manifest's `unsure_margin` on the first engine; None if it has none.
        cascade: how the threshold of a cascade was chosen; None for a bundle with one graph.
        low_rank: the linear layers that smaller ones replace.
    """

    reference: str
    data: DataReference
    engines: tuple[EngineProof, ...]
    layers: tuple[LayerReport, ...] = ()
    calibration_images: tuple[str, ...] = ()
    gate: GateRecord | None = None
    preprocessing: PreprocessingCheck | None = field(default=None, metadata=ADDED)
    checked_images: int | None = field(default=None, metadata=ADDED)
    unsure: UnsureRecord | None = field(default=None, metadata=ADDED)
    cascade: CascadeRecord | None = field(default=None, metadata=ADDED)
    low_rank: tuple[LowRankLayer, ...] = field(default=(), metadata=ADDED)

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("engines must contain at least one engine, found none")
