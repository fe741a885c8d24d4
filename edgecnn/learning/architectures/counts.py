"""The file of counted facts, `data/counts.json`: what the project's own networks contain."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CountedLayer:
    """A layer of a network.

    Attributes:
        name: name of its PyTorch module.
        kind: operator, and its window if it has one: `Conv2d 3×3, stride 2`.
        shape: [C, H, W] or [K] of its output; None for a layer used in training only.
        parameters: number of learned values.
        macs: multiply-accumulates for one image.
        field: height and width of the receptive field in pixels; None is the whole image.
        dense: parameters of a dense layer in place of a convolution; None for other layers.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    macs: int
    field: int | None
    dense: int | None


@dataclass(frozen=True)
class CountedNetwork:
    """A network at its usual size.

    Attributes:
        name: registered name.
        image_shape: height, width and channels.
        parameters: all learned values, with the heads for training.
        macs: multiply-accumulates for one image.
        convolution_parameters: the part of `parameters` in convolutions.
        linear_parameters: the part in linear layers, those for training included.
        norm_parameters: the part in batch norms.
        training_parameters: the part in heads that are used in training only.
        convolution_macs: the part of `macs` in convolutions.
        layers: all but ReLU and batch norm.
    """

    name: str
    image_shape: tuple[int, int, int]
    parameters: int
    macs: int
    convolution_parameters: int
    linear_parameters: int
    norm_parameters: int
    training_parameters: int
    convolution_macs: int
    layers: tuple[CountedLayer, ...]


@dataclass(frozen=True)
class WindowStack:
    """One convolution with a large window, and a stack of 3 × 3 convolutions with the same receptive field.

    Attributes:
        channels: of the input, of the output, and between the stacked convolutions.
        window: height and width of the large window.
        single: weights of the large convolution, without biases.
        length: number of stacked convolutions.
        field: receptive field of the stack.
        stacked: weights of the stack, without biases.
    """

    channels: int
    window: int
    single: int
    length: int
    field: int
    stacked: int


@dataclass(frozen=True)
class InceptionCount:
    """The convolutions of an inception module, with and without its 1 × 1 bottlenecks.

    Attributes:
        name: name of the module.
        channels: channels of its input.
        size: height and width of its maps.
        parameters: weights of its convolutions.
        macs: multiply-accumulates for one image.
        direct_parameters: weights, if the 3 × 3 windows read all channels.
        direct_macs: multiply-accumulates, likewise.
    """

    name: str
    channels: int
    size: int
    parameters: int
    macs: int
    direct_parameters: int
    direct_macs: int


@dataclass(frozen=True)
class ResNetCount:
    """A ResNet at 224 × 224.

    Attributes:
        name: registered name.
        layers: convolutions and linear layers on the longest way, which give the network its name.
        parameters: number of learned values.
        macs: multiply-accumulates for one image.
        skips: number of skips.
        projections: skips with a 1 × 1 convolution, because shapes differ.
        projection_parameters: learned values in them.
    """

    name: str
    layers: int
    parameters: int
    macs: int
    skips: int
    projections: int
    projection_parameters: int


@dataclass(frozen=True)
class Counts:
    """All counted facts.

    Attributes:
        command: the command that wrote the file.
        networks: LeNet, AlexNet, VGG-16, GoogLeNet and ResNet-18.
        stacks: of VGG.
        inception: the modules of GoogLeNet.
        resnets: by depth.
    """

    command: str
    networks: tuple[CountedNetwork, ...]
    stacks: tuple[WindowStack, ...]
    inception: tuple[InceptionCount, ...]
    resnets: tuple[ResNetCount, ...]
