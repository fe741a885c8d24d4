"""The entry of a graph in a manifest: its precision, its weights and its quantization."""

from dataclasses import dataclass, field
from typing import Literal

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.files.schema import ADDED


@dataclass(frozen=True)
class Quantization:
    """How the numbers of an INT8 graph are stored.

    Attributes:
        activations: `uint8` is asymmetric, with a zero point; `int8` is symmetric (required by TensorRT).
        weight_limit: largest magnitude of a quantized weight: 127 is the full range; 64 is the largest at which
            two products with uint8 activations cannot overflow 16 bits: 2 · 255 · 64 = 32,640.
        float_tensors: tensors that stay in float32, with the reason.
    """

    activations: Literal["uint8", "int8"]
    weight_limit: int
    float_tensors: dict[str, str]

    @property
    def symmetric(self) -> bool:
        """Whether activations have no zero point."""
        return self.activations == "int8"

    @property
    def is_full_range(self) -> bool:
        """Whether weights are so large that sums can saturate on some processors."""
        return self.weight_limit > PORTABLE_RANGE


WeightType = Literal["fp32", "fp16", "int8", "int4"]
"""Type of a weight tensor. int8 is symmetric with one scale per channel; int4 is packed, two numbers per byte."""


@dataclass(frozen=True)
class Graph:
    """One ONNX graph of a bundle.

    Attributes:
        file: its name in the bundle.
        precision: type of most of its weights.
        macs: multiply-accumulates of convolutions and matrix products for one image; None if unknown.
        weights: name to type of each weight tensor; empty if all are fp32.
        quantization: quantization of an INT8 graph, else None.
        float_tensors: weight tensors of an FP16 graph that stay in float32 because of their values, with the reason;
            None if there are none.
    """

    file: str
    precision: Literal["fp32", "fp16", "int8"]
    macs: int | None = None
    weights: dict[str, WeightType] = field(default_factory=dict)
    quantization: Quantization | None = None
    float_tensors: dict[str, str] | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        if (self.precision == "int8") != (self.quantization is not None):
            raise ValueError(f"precision {self.precision} does not match quantization {self.quantization}")
        if self.precision != "fp16" and self.float_tensors is not None:
            raise ValueError(f"precision {self.precision} does not match float_tensors, which only fp16 has")
        if self.macs is not None and self.macs < 0:
            raise ValueError(f"macs must be at least 0, found {self.macs}")
        if self.four_bits and self.quantization is None:
            raise ValueError(f"precision {self.precision} does not match int4 weights, which only int8 has")

    @property
    def four_bits(self) -> tuple[str, ...]:
        """Names of the weights that are stored in 4 bits."""
        return tuple(name for name, kind in self.weights.items() if kind == "int4")
