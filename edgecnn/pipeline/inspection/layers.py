"""The result of an inspection, and receptive field arithmetic, for both networks and graphs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: name of its PyTorch module, or of the module that contains it.
        kind: operator, and its window if it has one: `Conv2d 3×3, stride 2`.
        output_shape: without the batch dimension; None for a layer used in training only.
        parameters: number of learned values.
        macs: multiply-accumulates of convolutions and linear layers for one image, without biases and activations.
        receptive_field: height and width in pixels, including padding; None for the whole image; 0 if unknown.
        precision: precision of the computation.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int
    receptive_field: int | None
    precision: Literal["float32", "int8"] = "float32"


@dataclass(frozen=True)
class Inspection:
    """All layers, in execution order.

    Attributes:
        subject: name of the inspected architecture, checkpoint or bundle.
        image_shape: height, width and channels of one image.
        layers: layers used in training only come last.
        parameters: sum over the layers. Shared parameters count once.
        macs: sum over the layers.
    """

    subject: str
    image_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    parameters: int
    macs: int


def summed(subject: str, image_shape: tuple[int, int, int], layers: Iterable[Layer]) -> Inspection:
    """Return the inspection of these layers, with totals."""
    every = tuple(layers)
    return Inspection(
        subject, image_shape, every, sum(layer.parameters for layer in every), sum(layer.macs for layer in every)
    )


@dataclass(frozen=True)
class Field:
    """The receptive field of one unit of a feature map.

    Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.

    Attributes:
        size: height and width of the window in pixels; None is the whole image.
        jump: pixels between the windows of neighbouring units.
    """

    size: int | None = 1
    jump: int = 1

    def through(self, kernel: int, stride: int, dilation: int = 1) -> "Field":
        """Return the receptive field after a sliding window."""
        if self.size is None:
            return self
        return Field(self.size + (kernel - 1) * dilation * self.jump, self.jump * stride)


WHOLE = Field(None)
"""The receptive field after global pooling or a linear layer: the whole image."""


def widest(fields: Iterable[Field]) -> Field:
    """Return the largest receptive field, for operators that read several maps, such as sums and concatenations."""
    return max(fields, key=lambda field: float("inf") if field.size is None else field.size, default=Field())


def window(kind: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)) -> str:
    """Return a sliding window as text: `Conv2d 3×3, stride 2`."""
    text = f"{kind} {'×'.join(map(str, kernel))}"
    text += f", stride {stride[0]}" if stride[0] != 1 else ""
    return text + (f", dilation {dilation[0]}" if dilation[0] != 1 else "")
