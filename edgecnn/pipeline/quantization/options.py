"""Quantization options and their defaults."""

from dataclasses import dataclass, field
from typing import Any, Literal

from edgecnn.bundle.limits import FULL_RANGE, PORTABLE_RANGE


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class QuantizationOptions:
    """Quantization options. The command line shows each field's help text."""

    method: Literal["minmax", "percentile", "entropy", "mse"] = _option(
        "mse", "Method that chooses the range of an activation."
    )
    percentile: float = _option(99.99, "For the method percentile: percentage of the values inside the range.")
    scheme: Literal["asymmetric", "symmetric"] = _option(
        "asymmetric", "symmetric has no zero points (for TensorRT and NPUs); it loses one bit after a ReLU."
    )
    full_range: bool = _option(
        False, "Weights up to ±127: sums saturate on x86 CPUs without VNNI, unless exact INT8 is enabled."
    )
    rounding: Literal["nearest", "gptq"] = _option(
        "gptq", "gptq: a layer's weights compensate each other's errors, and its bias the remaining error."
    )
    max_drop: float = _option(
        0.1, "Largest drop on held-out images, in points; layers return to float until it is met. 100: no limit."
    )
    certify: bool = _option(False, "Limit the upper end of the drop's 95 % interval instead of the drop.")
    gate_count: int = _option(2000, "Maximum number of held-out images.")
    batch_size: int | None = _option(
        None, "Calibration images per run; affects memory and time, not the result. [default: as many as fit in 32 MiB]"
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
