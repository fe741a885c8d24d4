"""The part of a proof about a cascade: its threshold, the bound on its disagreement, and its cost."""

from dataclasses import dataclass
from typing import Literal

from edgecnn.bundle.manifest import DataReference


@dataclass(frozen=True)
class CascadeCounts:
    """Answers of a cascade on one engine.

    Attributes:
        engine: the engine.
        images: number of images.
        again: number of images that the accurate graph ran too.
        differing: number of answers that differ from the reference's.
        test_images: number of images of the proof.
        test_again: number of these that the accurate graph ran too.
    """

    engine: str
    images: int
    again: int
    differing: int
    test_images: int
    test_again: int


@dataclass(frozen=True)
class CascadeCost:
    """Time of one image on the machine that built the cascade: the fast graph's plus a share of the accurate one's.

    Attributes:
        engine: the engine on which the cascade is the fastest.
        processor: name of the processor.
        threads: threads of one run.
        fast_ms: median time of the fast graph.
        accurate_ms: median time of the accurate graph.
        expected_ms: `fast_ms` plus `accurate_ms` times the share of the images that run again.
    """

    engine: str
    processor: str
    threads: int
    fast_ms: float
    accurate_ms: float
    expected_ms: float


@dataclass(frozen=True)
class CascadeRecord:
    """How the threshold of a cascade was chosen, and the bound on its disagreement with the reference.

    Attributes:
        threshold: the threshold, as in the manifest.
        min_agreement: smallest allowed agreement with the reference, as a fraction.
        unseen: how the images are known to be new to both networks. `reserved`: training and quantization left them
            out. `stated`: the user stated it, and only calibration images were left out.
        choosing: the images on which the threshold was chosen.
        fast_agreement: agreement of the fast graph alone on these images.
        bounding: other images, on which the bound was measured.
        max_disagreement: one-sided 95 % Clopper-Pearson upper bound of the disagreement on images like these, as a
            fraction, on the engine with the most differing answers.
        engines: the answers on `bounding` and on the images of the proof.
        cost: expected time of one image; None if the machine was busy.
    """

    threshold: float
    min_agreement: float
    unseen: Literal["reserved", "stated"]
    choosing: DataReference
    fast_agreement: float
    bounding: DataReference
    max_disagreement: float
    engines: tuple[CascadeCounts, ...]
    cost: CascadeCost | None

    @property
    def share(self) -> float:
        """Share of the bounding images that run again, on the engine with the most."""
        return max(each.again / each.images for each in self.engines)
