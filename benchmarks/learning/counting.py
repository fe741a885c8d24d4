"""Counts what the chapters state about the project's own networks."""

from torch import nn

from benchmarks.learning.runs import write
from edgecnn.learning.architectures.counts import (
    CountedLayer,
    CountedNetwork,
    Counts,
    InceptionCount,
    ResNetCount,
    WindowStack,
)
from edgecnn.pipeline.inspection.layers import Field, Inspection
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.models import googlenet, resnet
from edgecnn.pipeline.models.registry import build, get_architecture

NETWORKS = ("lenet", "alexnet", "vgg16", "googlenet", "resnet18")
_LEFT_OUT = ("ReLU", "relu", "BatchNorm2d", "Identity")
_CHANNELS = (64, 128, 256, 512)
_WINDOWS = ((5, 2), (7, 3))
"""A large window, and the number of 3 × 3 windows with the same receptive field."""


def counts() -> None:
    """Count, and write `counts.json`."""
    write("counts", counted())


def counted() -> Counts:
    """Return all counted facts."""
    return Counts(
        "python -m benchmarks.learning.run counts",
        tuple(map(_network, NETWORKS)),
        tuple(_stack(channels, *pair) for pair in _WINDOWS for channels in _CHANNELS),
        _inception(),
        tuple(map(_resnet, resnet.TABLE)),
    )


def _network(name: str) -> CountedNetwork:
    found = _inspected(name)
    rows = tuple(
        CountedLayer(
            layer.name,
            layer.kind,
            layer.output_shape,
            layer.parameters,
            layer.macs,
            layer.receptive_field,
            layer.dense_parameters,
        )
        for layer in found.layers
        if not layer.kind.startswith(_LEFT_OUT)
    )
    convolutions = [layer for layer in found.layers if layer.kind.startswith("Conv2d")]
    return CountedNetwork(
        name,
        found.image_shape,
        found.parameters,
        found.macs,
        sum(layer.parameters for layer in convolutions),
        sum(layer.parameters for layer in found.layers if layer.kind.startswith("Linear")),
        sum(layer.parameters for layer in found.layers if layer.kind.startswith("BatchNorm2d")),
        sum(layer.parameters for layer in found.layers if layer.output_shape is None),
        sum(layer.macs for layer in convolutions),
        rows,
    )


def _inspected(name: str) -> Inspection:
    return inspect_network(get_architecture(name).usual())


def _stack(channels: int, window: int, length: int) -> WindowStack:
    field = Field()
    for _ in range(length):
        field = field.through(3, 1)
    if field.size != window:
        raise ValueError(f"{length} windows of 3 × 3 see {field.size} pixels, not {window}")
    small = _weights(nn.Conv2d(channels, channels, 3))
    return WindowStack(
        channels, window, _weights(nn.Conv2d(channels, channels, window)), length, field.size, length * small
    )


def _weights(convolution: nn.Conv2d) -> int:
    return convolution.weight.numel()


def _inception() -> tuple[InceptionCount, ...]:
    layers = _inspected("googlenet").layers
    found = []
    for name, (channels, one, _, three, _, five, pool) in googlenet.TABLE.items():
        own = [layer for layer in layers if layer.name.startswith(f"{name}.") and layer.kind.startswith("Conv2d")]
        size = (own[0].output_shape or (0, 0))[1]
        direct = sum(
            _weights(nn.Conv2d(channels, filters, window))
            for filters, window in ((one, 1), (three, 3), (five, 3), (pool, 1))
        )
        parameters, macs = sum(layer.parameters for layer in own), sum(layer.macs for layer in own)
        found.append(InceptionCount(name, channels, size, parameters, macs, direct, direct * size**2))
    return tuple(found)


def _resnet(name: str) -> ResNetCount:
    found = _inspected(name)
    blocks = [
        module
        for module in build(get_architecture(name).usual()).modules()
        if isinstance(module, resnet.BasicBlock | resnet.Bottleneck)
    ]
    shortcuts = [block.downsample for block in blocks if block.downsample is not None]
    weighted = [layer for layer in found.layers if layer.kind.startswith(("Conv2d", "Linear"))]
    return ResNetCount(
        name,
        len(weighted) - len(shortcuts),
        found.parameters,
        found.macs,
        len(blocks),
        len(shortcuts),
        sum(each.numel() for shortcut in shortcuts for each in shortcut.parameters()),
    )
