"""How a bundle is quantized: the options, and the only place where their defaults are written."""

from dataclasses import dataclass, field
from typing import Any, Literal

from edgecnn.bundle.limits import FULL_RANGE, PORTABLE_RANGE


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class QuantizationOptions:
    """How a bundle is quantized; each field's help is what the command line shows."""

    method: Literal["minmax", "percentile", "entropy", "mse"] = _option(
        "mse", "How the range of an activation is chosen."
    )
    percentile: float = _option(99.99, "Of the method percentile: so many percent of the values stay in the range.")
    scheme: Literal["asymmetric", "symmetric"] = _option(
        "asymmetric", "symmetric has no zero points, as TensorRT and NPUs want it; it costs a bit behind a ReLU."
    )
    full_range: bool = _option(
        False, "Weights up to ±127: x86 CPUs without VNNI answer differently, unless told to sum exactly."
    )
    rounding: Literal["nearest", "together"] = _option(
        "together", "together: a layer's weights make good each other's errors, its bias what is left."
    )
    max_drop: float = _option(
        0.1, "Points of top-1 that may be lost on held-out images; layers go back to float until it holds. 100: any."
    )
    certify: bool = _option(False, "Bound the 95 % limit of that drop instead of the drop.")
    gate_count: int = _option(2000, "How many held-out images, at most.")
    batch_size: int | None = _option(
        None, "Calibration images a run: memory and time, not the result. [default: as many as fit 32 MiB]"
    )

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {self.batch_size}")
        if not 0 <= self.max_drop <= 100:
            raise ValueError(f"max_drop must be in 0..100 points, found {self.max_drop}")
        if self.gate_count < 1:
            raise ValueError(f"gate_count must be at least 1, found {self.gate_count}")
        if not 50 < self.percentile <= 100:
            raise ValueError(f"percentile must be above 50 and at most 100, found {self.percentile}")

    @property
    def symmetric(self) -> bool:
        """Whether activations have no zero point."""
        return self.scheme == "symmetric"

    @property
    def weight_limit(self) -> int:
        """Return the largest magnitude of a quantized weight."""
        return FULL_RANGE if self.full_range else PORTABLE_RANGE
