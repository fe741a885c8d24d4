"""The topics of a first course on convolutional networks, and the places that show each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """A topic: `learn.topic.NAME` in the words.

    Attributes:
        name: its name in the words.
        chapters: names of the chapters that show it.
        explain: whether `edgecnn explain` shows it on a photograph of the reader.
    """

    name: str
    chapters: tuple[str, ...]
    explain: bool = False


_NETWORKS = ("lenet", "alexnet", "vgg", "googlenet", "resnet")

TOPICS = (
    Topic("local", ("convolution",)),
    Topic("sizes", ("convolution", "channels")),
    Topic("field", ("receptive-field",), explain=True),
    Topic("shared", ("shared-weights",)),
    Topic("features", ("edges-to-objects",), explain=True),
    Topic("max-pooling", ("pooling",)),
    Topic("average-pooling", ("pooling",)),
    Topic("shifts", ("pooling",), explain=True),
    Topic("flatten", ("flatten",)),
    Topic("linear", ("linear",), explain=True),
    Topic("layers", ("activations", "dropout", "batch-norm")),
    Topic("softmax", ("softmax",)),
    Topic("digits", ("lenet-digits",), explain=True),
    Topic("pets", ("cats-dogs",), explain=True),
    Topic("built", _NETWORKS),
    Topic("ideas", _NETWORKS),
    Topic("compared", ("compared",)),
    Topic("training", ("gradients", "overfitting")),
)
