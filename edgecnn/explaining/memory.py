"""How much memory an explanation takes, from the graph alone: shapes are derived without running it."""

import math
from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import Window
from edgecnn.explaining.graph import explained_graph, read_graph
from edgecnn.explaining.layers import GraphLayer, layers_of

_FLOAT_BYTES = 4
_MOST_BATCH = 8
_BATCH_BYTES = 64 << 20
"""Memory of the layers for one run of occlusion."""

_FIXED_BYTES = 48 << 20
_WEIGHT_COPIES = 4
"""The file, the copy with more outputs, and the weights in the engine, as stored and as its kernels read them."""
_FLOAT_COPIES = 8
"""The second session of an INT8 bundle, which computes in float: the integers, and their float32 values twice."""
_LAYER_COPIES = 5
"""The engine's memory, its outputs, copies of them, and a layer in float64 while it is drawn."""


def explaining_bytes(bundle: Bundle) -> int:
    """Return the memory that an `Explainer` of a bundle and one explanation take, in bytes. It is an estimate.

    Raises:
        UsageError: the bundle is a cascade.
        BundleError: the graph cannot be read.
    """
    path = explained_graph(bundle)
    try:
        # Mapped, because the memory for a copy of the file is not claimed yet.
        graph = read_graph(np.memmap(path, np.uint8, "r").data)
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {path}: {error}") from None
    constants = Constants(graph)
    layers = layers_of(graph, constants)
    values = _FLOAT_BYTES * elements_of(layers, bundle.manifest.image_shape, constants)
    copies = _WEIGHT_COPIES + (_FLOAT_COPIES if any(each.is_inner for each in layers) else 0)
    return _FIXED_BYTES + copies * bundle.size_bytes + max(_LAYER_COPIES * values, _BATCH_BYTES)


def batch_of(layers: Sequence[GraphLayer], image_shape: tuple[int, int, int], constants: Constants) -> int:
    """Return how many images run at once in occlusion, so that their layers fit into 64 MiB."""
    one = _FLOAT_BYTES * elements_of(layers, image_shape, constants)
    return max(1, min(_MOST_BATCH, _BATCH_BYTES // max(1, one)))


def elements_of(layers: Sequence[GraphLayer], image_shape: tuple[int, int, int], constants: Constants) -> int:
    """Return the number of values of all layers for one image [H, W, C]. For unknown operators it is an estimate."""
    height, width, channels = image_shape
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        inputs = [shapes[name] for name in layer.inputs] or [(channels, height, width)]
        shapes[layer.id] = _shape(layer, max(inputs, key=math.prod), inputs, constants)
    return sum(map(math.prod, shapes.values()))


def _shape(
    layer: GraphLayer, largest: tuple[int, ...], inputs: Sequence[tuple[int, ...]], constants: Constants
) -> tuple[int, ...]:
    if layer.operation == "linear":
        stored = constants.shape(layer.weights)
        return (*largest[:-1], stored[layer.output_axis]) if len(largest) < 3 else stored[:1]
    if len(largest) != 3:
        return largest
    if layer.operation == "global_average_pool":
        return (largest[0], 1, 1)
    if layer.operation == "concat" and all(len(each) == 3 for each in inputs):
        return (sum(each[0] for each in inputs), *largest[1:])
    if layer.window is None:
        return largest
    outputs = constants.shape(layer.weights)[0] if layer.operation == "conv" else largest[0]
    return (outputs, *(_side(largest[1 + axis], layer, layer.window, axis) for axis in (0, 1)))


def _side(side: int, layer: GraphLayer, window: Window, axis: int) -> int:
    padded = side + window.padding[axis] + window.padding[axis + 2]
    reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1
    rounded_up = window.stride[axis] - 1 if layer.node.number("ceil_mode", 0) else 0
    return max(1, (padded - reach + rounded_up) // window.stride[axis] + 1)
