"""The drop of top-1 between two classifiers, measured on the same images."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["passes", "fails", "undecided"]


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

    def __str__(self) -> str:
        return f"{self.drop * 100:+.2f} points [{self.low * 100:+.2f}, {self.high * 100:+.2f}]"

    def against(self, limit: float) -> Verdict:
        """Compare the interval with the largest allowed drop. It is undecided if the interval contains the limit."""
        if self.high <= limit:
            return "passes"
        return "fails" if self.low > limit else "undecided"
