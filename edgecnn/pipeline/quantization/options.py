"""How a bundle is quantized: the options, and the only place where their defaults are written."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class QuantizationOptions:
    """How a bundle is quantized; each field's help is what the command line shows."""

    full_range: bool = field(
        default=False, metadata={"help": "Weights up to ±127: CPUs without VNNI then answer differently."}
    )
    batch_size: int = field(default=32, metadata={"help": "Calibration images a run: memory and time, not the result."})

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {self.batch_size}")
