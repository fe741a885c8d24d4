"""The result of an inspection, and receptive field arithmetic, for both networks and graphs."""

import math
from collections.abc import Iterable, Sequence
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
        precision: precision of the computation. int4: weights in 4 bits; engines round the inputs to 8 bits or not.
        dense_parameters: for a convolution, the number of parameters that a dense layer between the same maps would
            need; see `dense_parameters`.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int
    receptive_field: int | None
    precision: Literal["float32", "int8", "int4"] = "float32"
    dense_parameters: int | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of a table row with the columns `COLUMNS`. Zeros are left out."""
        field = "-" if self.receptive_field is None else str(self.receptive_field or "?")
        return (
            self.name,
            self.kind,
            "" if self.output_shape is None else "×".join(map(str, self.output_shape)),
            f"{self.parameters:,}" if self.parameters else "",
            f"{self.macs:,}" if self.macs else "",
            "" if self.output_shape is None else field,
            "" if self.dense_parameters is None else in_short(self.dense_parameters),
            "" if self.precision == "float32" else self.precision,
        )


COLUMNS = ("module", "kind", "output", "parameters", "MACs", "field", "as dense", "precision")


@dataclass(frozen=True)
class Inspection:
    """All layers, in execution order.

    Attributes:
        subject: name of the inspected architecture, checkpoint or bundle.
        image_shape: height, width and channels of one image.
        layers: layers used in training only come last.
        parameters: sum over the layers. Shared parameters count once.
        macs: sum over the layers.
        convolution_parameters: the part of `parameters` in convolutions.
        dense_parameters: sum over the convolutions.
    """

    subject: str
    image_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    parameters: int
    macs: int
    convolution_parameters: int
    dense_parameters: int

    def _repr_html_(self) -> str:
        """Return the layers as a table, for notebooks. Of a deep network, the first and the last layers are shown."""
        from edgecnn.html_table import table

        totals = f"{self.parameters:,} parameters, {self.macs:,} MACs"
        rows = [layer.cells() for layer in self.layers]
        return table(f"{self.title}: {totals}", rows, header=COLUMNS, right=(3, 4, 5, 6), last=10)

    @property
    def title(self) -> str:
        """The subject and the shape of its images."""
        height, width, channels = self.image_shape
        return f"{self.subject}, image {height} × {width} × {channels}"


def summed(subject: str, image_shape: tuple[int, int, int], layers: Iterable[Layer]) -> Inspection:
    """Return the inspection of these layers, with totals."""
    every = tuple(layers)
    convolutions = [layer for layer in every if layer.dense_parameters is not None]
    return Inspection(
        subject,
        image_shape,
        every,
        sum(layer.parameters for layer in every),
        sum(layer.macs for layer in every),
        sum(layer.parameters for layer in convolutions),
        sum(layer.dense_parameters or 0 for layer in convolutions),
    )


def dense_parameters(inputs: Sequence[int], outputs: Sequence[int]) -> int:
    """Return the parameters of a dense layer from each value of a map to each value of another one, with biases.

    LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998, section II.

    Args:
        inputs: shape [C, H, W] of the map that a convolution reads.
        outputs: shape [C, H, W] of the map that it writes.
    """
    return (math.prod(inputs) + 1) * math.prod(outputs)


def in_short(count: int) -> str:
    """Return a large number with at most three digits: `4.82 M`, `483 G`."""
    for digits, unit in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if count >= 999.5 * 10 ** (digits - 3):
            return f"{count / 10**digits:.3g} {unit}"
    return str(count)


def with_scores(layers: Sequence[Layer], classes: int, activation: str = "softmax") -> list[Layer]:
    """Return layers with the last step of a prediction: the activation that turns logits into scores.

    The network and the graph return logits; `predict` computes the scores. A network that ends with an activation of
    its own gets no second one.
    """
    if layers and layers[-1].kind.lower() in ("softmax", "sigmoid"):
        return list(layers)
    return [*layers, Layer("", activation.capitalize(), (classes,), 0, 0, None)]


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
