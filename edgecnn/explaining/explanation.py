"""The content of an explanation, as JSON: what `edgecnn explain` embeds and the server's `--explain` answers."""

from dataclasses import dataclass
from typing import Literal

Operation = Literal[
    "normalize",
    "conv",
    "linear",
    "max_pool",
    "average_pool",
    "global_average_pool",
    "flatten",
    "relu",
    "activation",
    "batch_norm",
    "dropout",
    "add",
    "multiply",
    "concat",
    "softmax",
    "other",
]


@dataclass(frozen=True)
class Picture:
    """A grayscale or colour picture of values.

    Attributes:
        png: a PNG file in base64; 8 bits per channel. A value v is drawn as round(255 (v - low) / (high - low)).
        low: value of a pixel 0.
        high: value of a pixel 255; above `low`, also if all values are equal.
    """

    png: str
    low: float
    high: float


@dataclass(frozen=True)
class FeatureMap:
    """One channel of a layer's output for this image.

    Attributes:
        channel: its number, from 0.
        strength: mean of its absolute values; maps are sorted by it. If one of two compared bundles is FP32, it is the
            strength there.
        picture: its values, [H, W]. A map with a side above a limit is reduced: a pixel is the mean over k × k values,
            k = ceil(longer side / limit). The limit is 56 pixels, or less for a network with many layers, but at least
            14. The layer's `shape` is not reduced.
        other: the same map in the compared bundle, with the same `low` and `high`; None without one.
    """

    channel: int
    strength: float
    picture: Picture
    other: Picture | None = None


@dataclass(frozen=True)
class Window:
    """A sliding window: [height, width] pairs; padding is [top, left, bottom, right]."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int = 1


@dataclass(frozen=True)
class ReceptiveField:
    """Where unit (y, x) of a map reads: rows `start[0] + y * jump[0]` to `size[0]` rows further; columns likewise.

    It is in pixels of the model's input and may reach into the padding. Araujo, Norris and Sim, Computing Receptive
    Fields of Convolutional Neural Networks, Distill, 2019.
    """

    size: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[int, int]


@dataclass(frozen=True)
class Kernels:
    """The weights of a convolution that are shown, for the shown maps. The first convolution has exact values.

    Attributes:
        channels: the output channels, in the order of the layer's maps.
        pictures: one picture for each output channel. [kh, kw] for one input channel, colour [kh, kw, 3] for three,
            the mean over input channels otherwise.
        values: float values [channels][input channel][kh][kw] of the first convolution; None for others.
        bias: one value for each of `channels`; empty without a bias.
    """

    channels: tuple[int, ...]
    pictures: tuple[Picture, ...]
    values: tuple[tuple[tuple[tuple[float, ...], ...], ...], ...] | None
    bias: tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """One operation of the graph, in the order of the data. Q/DQ pairs are not layers: they belong to the layer before.

    Attributes:
        id: name of its output tensor, unique.
        name: name of the PyTorch module, such as `layer1.0.conv1`; may be empty. A batch norm is usually folded into
            the convolution before it, and dropout does nothing at inference: only checkpoints have rows for them.
        operation: what it does.
        kind: operator and window as text: `Conv 3×3, stride 2`.
        precision: precision of the computation; int4 of a linear layer with weights in 4 bits.
        inputs: ids of the layers it reads; empty for the first one. Two or more are the ends of skips and branches.
        shape: of its output, without the batch dimension: (C, H, W), (K,), or any other shape.
        parameters: number of learned values.
        window: of convolutions and pooling.
        field: of one unit; None if it is the whole image or unknown.
        maps: the strongest maps, for outputs (C, H, W) of more than one pixel.
        values: output values, for outputs (K,) or (K, 1, 1) of at most 4,096 values.
        kernels: of convolutions.
        snr_db: signal-to-noise ratio of the two bundles' outputs (all channels), in decibels: the signal is the FP32
            output, the noise is the difference. None without a compared bundle; infinite ones are 200.
    """

    id: str
    name: str
    operation: Operation
    kind: str
    precision: Literal["float32", "int8", "int4"]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int
    window: Window | None = None
    field: ReceptiveField | None = None
    maps: tuple[FeatureMap, ...] = ()
    values: tuple[float, ...] = ()
    kernels: Kernels | None = None
    snr_db: float | None = None


@dataclass(frozen=True)
class Contributions:
    """Why a class has its logit: the last linear layer's inputs × weights. With the bias they sum to the logit.

    Attributes:
        target: number of the class.
        bias: the layer's bias for the class.
        logit: the sum.
        largest: the up to 32 largest contributions by absolute value, as (input number, input value, weight).
        rest: sum of all other contributions.
    """

    target: int
    bias: float
    logit: float
    largest: tuple[tuple[int, float, float], ...]
    rest: float


@dataclass(frozen=True)
class Attention:
    """Where the network looks for one class.

    Attributes:
        method: `occlusion` or `grad-cam`.
        target: number of the class.
        picture: [H, W], stretched over the model's input; occlusion: drop of the class's probability where a gray
            patch covers the image (Zeiler and Fergus, 2014), below 0 where it rises; Grad-CAM: Selvaraju et al., 2017,
            at least 0.
    """

    method: Literal["occlusion", "grad-cam"]
    target: int
    picture: Picture


Note = Literal[
    "inner-rounding",  # INT8: values inside an integer operation are computed in float, up to one step of rounding off
    "no-contributions",  # the logits do not come from one linear layer
    "alpha-left-out",  # the image has an alpha channel, which the picture and the kernels leave out
    "layers-differ",  # some layers exist in one of the two bundles only
    "not-finite",  # some values were infinite or NaN; the pictures show the nearest finite value, or 0
    "not-proven",  # the graph was exported from a checkpoint for this page; only this image was compared with PyTorch
]


@dataclass(frozen=True)
class Explanation:
    """What a bundle computes for one image.

    Attributes:
        model: name of the bundle.
        digest: its digest.
        engine: name and version of the engine that ran the graph.
        compared: name of the compared bundle (the FP32 or INT8 sibling); None without one.
        image: the model's input as it goes into the graph, uint8 [H, W] or [H, W, 3]: low 0, high 255. Alpha is left
            out.
        mean: of the normalization, for each channel, in units of a pixel (0 to 255).
        deviation: of the normalization, likewise: the graph computes (pixel - mean) / deviation.
        labels: class names.
        logits: one for each class.
        probabilities: softmax of the logits (or sigmoid for multi-label models).
        order: class numbers, the most probable first, up to 20.
        layers: in the order of the data, softmax last (the activation `Sigmoid` for scores of sigmoid).
        contributions: for the first 5 classes in `order`, and for chosen ones; empty if the last layer is not linear.
        attention: for the first 3 classes in `order`, and for chosen ones: occlusion, then Grad-CAM.
        notes: what the page must say about the content.
    """

    model: str
    digest: str
    engine: str
    compared: str | None
    image: Picture
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    labels: tuple[str, ...]
    logits: tuple[float, ...]
    probabilities: tuple[float, ...]
    order: tuple[int, ...]
    layers: tuple[Layer, ...]
    contributions: tuple[Contributions, ...] = ()
    attention: tuple[Attention, ...] = ()
    notes: tuple[Note, ...] = ()

    def __repr__(self) -> str:  # without the pictures, which can have megabytes
        best = self.order[0]
        answer = f"{self.labels[best]} {self.probabilities[best]:.1%}"
        return f"<Explanation of {self.model}: {answer}, {len(self.layers)} layers>"

    def _repr_html_(self) -> str:
        """Return the layers as a table, for notebooks. The page that `explain` writes has the pictures."""
        from edgecnn.html_table import table

        rows = [
            (
                layer.name,
                layer.kind,
                "×".join(map(str, layer.shape)),
                f"{layer.parameters:,}" if layer.parameters else "",
                "" if layer.snr_db is None else f"{layer.snr_db:.1f} dB",
            )
            for layer in self.layers
        ]
        best = self.order[0]
        header = ("layer", "kind", "output", "parameters", "signal to noise")
        caption = f"{self.labels[best]} {self.probabilities[best]:.1%}: {self.model} on {self.engine}"
        return table(caption, rows, header=header, right=(3, 4), last=10)
