"""The result of an inspection, and the arithmetic of receptive fields; the same for a network and for a graph."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: of the PyTorch module that it is, or that it stands in.
        kind: what it computes, with its window where it has one: `Conv2d 3×3, stride 2`.
        output_shape: without the batch; None for a layer that only training uses.
        parameters: how many numbers it learns.
        macs: multiply-accumulates for one image, of convolutions and linear layers; biases and activations count none.
        receptive_field: height and width in pixels of what one unit sees, the padding included; None is everything.
        precision: what it computes in.
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
    """All layers, in the order in which they run.

    Attributes:
        subject: what was inspected: an architecture, or the name of a checkpoint or bundle.
        image_shape: height, width and channels of one image.
        layers: those that only training uses come last.
        parameters: sum over the layers; a layer that runs twice learns once.
        macs: sum over the layers.
    """

    subject: str
    image_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    parameters: int
    macs: int


def summed(subject: str, image_shape: tuple[int, int, int], layers: Iterable[Layer]) -> Inspection:
    """Add up the layers."""
    every = tuple(layers)
    return Inspection(
        subject, image_shape, every, sum(layer.parameters for layer in every), sum(layer.macs for layer in every)
    )


@dataclass(frozen=True)
class Field:
    """What one unit of a feature map sees of the image.

    Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.

    Attributes:
        size: height and width of the window in pixels; None is the whole image.
        jump: pixels between the windows of neighbouring units.
    """

    size: int | None = 1
    jump: int = 1

    def through(self, kernel: int, stride: int, dilation: int = 1) -> "Field":
        """Return what a unit sees behind a sliding window."""
        if self.size is None:
            return self
        return Field(self.size + (kernel - 1) * dilation * self.jump, self.jump * stride)


WHOLE = Field(None)
"""What a unit behind global pooling or a linear layer sees: everything."""


def widest(fields: Iterable[Field]) -> Field:
    """Return what a unit sees that reads several maps of one size, as sums and concatenations do."""
    return max(fields, key=lambda field: float("inf") if field.size is None else field.size, default=Field())


def window(kind: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)) -> str:
    """Write a sliding window as people do: `Conv2d 3×3, stride 2`."""
    text = f"{kind} {'×'.join(map(str, kernel))}"
    text += f", stride {stride[0]}" if stride[0] != 1 else ""
    return text + (f", dilation {dilation[0]}" if dilation[0] != 1 else "")
