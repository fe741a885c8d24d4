"""The files of pictures, `data/digits.json` and `data/photographs.json`: what networks compute for real images."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MapPicture:
    """One channel of a layer's output.

    Attributes:
        channel: its number, from 0.
        png: a PNG file in base64, 8 bits per pixel: 0 is `low`, 255 is `high`.
        low: value of a black pixel.
        high: value of a white pixel.
    """

    channel: int
    png: str
    low: float
    high: float


@dataclass(frozen=True)
class DigitLayer:
    """A layer's output for one digit.

    Attributes:
        name: name of its PyTorch module; may be empty.
        operation: see `edgecnn.explaining.explanation.Layer`.
        shape: of the output: [C, H, W] or [K].
        maps: all channels of an output [C, H, W].
        values: of an output [K].
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    maps: tuple[MapPicture, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Digit:
    """What the network computes for one image.

    Attributes:
        label: the true class.
        png: the network's input, a PNG file in base64.
        layers: in the order of the data.
    """

    label: str
    png: str
    layers: tuple[DigitLayer, ...]


@dataclass(frozen=True)
class Digits:
    """`digits.json`: the committed bundle, on one test image of each class.

    Attributes:
        command: the command that wrote the file.
        bundle: name of the bundle.
        digest: its digest.
        engine: name and version of the engine.
        kernels: weights of the first convolution, [6][5][5].
        digits: one for each class.
    """

    command: str
    bundle: str
    digest: str
    engine: str
    kernels: tuple[tuple[tuple[float, ...], ...], ...]
    digits: tuple[Digit, ...]


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Photograph:
    """A photograph.

    Attributes:
        name: its key in the words.
        jpeg: the network's input, a JPEG file in base64.
        credit: author and licence.
        guesses: the most probable classes, the first one first.
        evidence: where the evidence for the first class is: its class activation map (Zhou et al., 2016).
    """

    name: str
    jpeg: str
    credit: str
    guesses: tuple[Guess, ...]
    evidence: MapPicture


@dataclass(frozen=True)
class SeenMap:
    """One channel, on all photographs in their order, with the same black and white value."""

    channel: int
    pictures: tuple[MapPicture, ...]


@dataclass(frozen=True)
class Stage:
    """A layer, and the channels that were chosen for each photograph.

    Attributes:
        name: `edges`, `textures`, `parts` or `objects`.
        layer: name of its PyTorch module.
        shape: [C, H, W] of its output.
        field: height and width of the receptive field in pixels.
        chosen: for each photograph, its channels.
    """

    name: str
    layer: str
    shape: tuple[int, int, int]
    field: int
    chosen: tuple[tuple[SeenMap, ...], ...]


@dataclass(frozen=True)
class Photographs:
    """`photographs.json`: EfficientNet-Lite0 with ImageNet's weights, on photographs.

    Attributes:
        command: the command that wrote the file.
        packages: the packages with the weights and the photographs.
        versions: package to version.
        photographs: the photographs.
        stages: from the first layer to the last.
    """

    command: str
    packages: tuple[str, ...]
    versions: dict[str, str]
    photographs: tuple[Photograph, ...]
    stages: tuple[Stage, ...]
