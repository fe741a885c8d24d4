"""Quantization options and their defaults."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from edgecnn.bundle.limits import FULL_RANGE, PORTABLE_RANGE
from edgecnn.errors import UsageError
from edgecnn.hints import few


def _option(default: Any, text: str, *, int8_only: bool = True) -> Any:
    return field(default=default, metadata={"help": text, "int8_only": int8_only})


@dataclass(frozen=True)
class QuantizationOptions:
    """Quantization options. The command line shows each field's help text."""

    precision: Literal["int8", "fp16"] = _option(
        "int8", "fp16: weights in half the space, computed in float32, without calibration.", int8_only=False
    )
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
    linear_weights: Literal["int8", "int4"] = _option(
        "int8", "int4: weights of linear layers in 4 bits where the gate allows it."
    )
    rounding: Literal["nearest", "gptq"] = _option(
        "gptq", "gptq: a layer's weights compensate each other's errors, and its bias the remaining error."
    )
    max_drop: float = _option(
        0.1,
        "Largest drop on held-out images, in points; layers return to float if it is exceeded. 100: no limit.",
        int8_only=False,
    )
    min_agreement: float | None = _option(
        None,
        "Smallest agreement with FP32 on held-out images, in percent; layers return to float below it. "
        "[default: no limit]",
        int8_only=False,
    )
    low_rank: bool = _option(
        False, "Replace each large linear layer by two smaller ones, with a rank that the gate chooses."
    )
    on_undecided: Literal["keep", "float"] = _option(
        "keep", "If the images are too few to decide: keep INT8 with a warning, or leave layers in float."
    )
    certify: bool = _option(
        False, "Leave layers in float until the drop's 95 % interval is below --max-drop.", int8_only=False
    )
    gate_count: int = _option(
        5000, "Maximum number of held-out images; more are used only while the drop is undecided.", int8_only=False
    )
    batch_size: int | None = _option(
        None, "Calibration images per run; affects memory and time, not the result. [default: as many as fit in 32 MiB]"
    )

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {self.batch_size}")
        if not 0 <= self.max_drop <= 100:
            raise ValueError(f"max_drop must be in 0..100 points, found {self.max_drop}")
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 100:
            raise ValueError(f"min_agreement must be in 0..100 percent, found {self.min_agreement}")
        if self.gate_count < 1:
            raise ValueError(f"gate_count must be at least 1, found {self.gate_count}")
        if not 50 < self.percentile <= 100:
            raise ValueError(f"percentile must be above 50 and at most 100, found {self.percentile}")
        changed = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        if self.precision == "fp16" and not INT8_ONLY.isdisjoint(changed):
            raise ValueError(only_int8([name for name in changed if name in INT8_ONLY]))

    def check_arguments(self, *, calibrated: bool, analyze: bool, seeds: int | None) -> None:
        """Check that the other arguments of `quantize` match the precision.

        Raises:
            UsageError: INT8 has no calibration images, FP16 has an argument that applies to INT8 only, or `seeds` is
                given with `low_rank`.
        """
        if self.precision == "int8" and not calibrated:
            raise UsageError(
                "--calibration is missing: pass training images, which INT8 needs, or use --precision fp16"
            )
        if self.precision == "fp16" and (analyze or seeds is not None):
            raise UsageError(only_int8(["analyze"] if analyze else ["seeds"]))
        if self.low_rank and seeds is not None:
            raise UsageError("--seeds builds without a gate, which chooses the ranks of --low-rank: remove one of both")

    @property
    def symmetric(self) -> bool:
        """Whether activations have no zero point."""
        return self.scheme == "symmetric"

    @property
    def weight_limit(self) -> int:
        """Return the largest magnitude of a quantized weight."""
        return FULL_RANGE if self.full_range else PORTABLE_RANGE


INT8_ONLY = frozenset(each.name for each in fields(QuantizationOptions) if each.metadata["int8_only"])
"""Names of the options that do not apply to FP16."""


def only_int8(names: Sequence[str]) -> str:
    """Return the error for options that do not apply to FP16."""
    applies, them = ("applies", "it") if len(names) == 1 else ("apply", "them")
    return f"{few(names)} {applies} to INT8 only, found precision fp16: remove {them}"
