"""Options of `cascade` and their defaults."""

from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class CascadeOptions:
    """Options of `cascade`. The command line shows each field's help text."""

    min_agreement: float = _option(
        99.5, "Smallest agreement with the reference, in percent; the one-sided 95 % bound must show it."
    )
    unseen: bool = _option(
        False,
        "State that no training image of SOURCE was used to train FAST or ACCURATE, to choose the epoch, or for the "
        "gate. Not needed after train --reserve.",
    )
    count: int | None = _option(None, "Maximum number of images for threshold and bound. [default: all]")
    seed: int = _option(0, "Seed that divides the images.")

    def __post_init__(self) -> None:
        if not 0 < self.min_agreement < 100:
            raise ValueError(f"min_agreement must be above 0 and below 100 percent, found {self.min_agreement}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be at least 1, found {self.count}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63-1, found {self.seed}")

    @property
    def limit(self) -> float:
        """Largest allowed disagreement, as a fraction."""
        return 1 - self.min_agreement / 100
