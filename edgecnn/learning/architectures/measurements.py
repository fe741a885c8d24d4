"""The files of measured values in `data`, and of figures that other pages of the repository publish."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, TypeVar

from edgecnn.files.schema import parse

T = TypeVar("T")


def read(kind: type[T], name: str) -> T:
    """Read `data/NAME.json`.

    Args:
        kind: a dataclass of this package that describes the file.
        name: file name without its suffix.
    """
    return parse(kind, (files("edgecnn.learning.architectures") / "data" / f"{name}.json").read_bytes())


@dataclass(frozen=True)
class Origin:
    """How a file was made.

    Attributes:
        command: the command that wrote it.
        measured_at: UTC time.
        processor: name of the processor.
        versions: package to version.
    """

    command: str
    measured_at: str
    processor: str
    versions: dict[str, str]


@dataclass(frozen=True)
class GradientSeries:
    """Gradients of one network at initialisation.

    Attributes:
        activation: after each convolution.
        batch_norm: whether batch norm follows each convolution.
        skips: whether a skip leads around each two convolutions.
        norms: L2 norm of the gradient of the loss, for the weights of each convolution; geometric mean over the seeds.
        low: smallest norm of all seeds.
        high: largest norm of all seeds.
    """

    activation: Literal["sigmoid", "relu"]
    batch_norm: bool
    skips: bool
    norms: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Gradients:
    """`gradients.json`: the gradients of deep networks at initialisation.

    Attributes:
        origin: how the file was made.
        depth: convolutions and the linear layer.
        width: channels of each convolution.
        image_size: height and width in pixels.
        images: number of handwritten digits in the batch.
        seeds: number of initialisations.
        series: one for each kind of network.
    """

    origin: Origin
    depth: int
    width: int
    image_size: int
    images: int
    seeds: int
    series: tuple[GradientSeries, ...]


@dataclass(frozen=True)
class Curve:
    """A value over time: the mean, the smallest and the largest of all seeds."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class DepthSeries:
    """The training of one network.

    Attributes:
        depth: convolutions and the linear layer.
        skips: whether a skip leads around each two convolutions.
        parameters: number of learned values.
        loss: cross-entropy on the training images; mean over each epoch.
    """

    depth: int
    skips: bool
    parameters: int
    loss: Curve


@dataclass(frozen=True)
class Depths:
    """`depth.json`: training loss by depth, with and without skips, with one recipe.

    Attributes:
        origin: how the file was made.
        widths: channels of each stage.
        image_size: height and width in pixels.
        images: number of training images of Fashion-MNIST.
        epochs: number of epochs.
        batch_size: images in a step.
        learning_rate: of stochastic gradient descent with momentum 0.9.
        seeds: number of trainings.
        series: one for each network.
    """

    origin: Origin
    widths: tuple[int, ...]
    image_size: int
    images: int
    epochs: int
    batch_size: int
    learning_rate: float
    seeds: int
    series: tuple[DepthSeries, ...]


@dataclass(frozen=True)
class OverfittingSeries:
    """The training of one variant.

    Attributes:
        images: number of training images.
        dropout: share of the values that dropout sets to zero.
        augmentation: whether training images are shifted and mirrored at random.
        training_loss: cross-entropy on the training images as they are, without dropout.
        validation_loss: cross-entropy on the validation images.
        training_accuracy: share of correct answers, from 0 to 1.
        validation_accuracy: the same on the validation images.
    """

    images: int
    dropout: float
    augmentation: bool
    training_loss: Curve
    validation_loss: Curve
    training_accuracy: Curve
    validation_accuracy: Curve


@dataclass(frozen=True)
class Overfitting:
    """`overfitting.json`: a small network on few images.

    Attributes:
        origin: how the file was made.
        image_size: height and width in pixels.
        validation_images: number of validation images of Fashion-MNIST.
        batch_size: images in a step.
        steps: the steps after which the curves have values.
        parameters: number of learned values.
        seeds: number of trainings.
        series: one for each variant.
    """

    origin: Origin
    image_size: int
    validation_images: int
    batch_size: int
    steps: tuple[int, ...]
    parameters: int
    seeds: int
    series: tuple[OverfittingSeries, ...]
