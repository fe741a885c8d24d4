"""Make the rows of an explanation: one for each layer of the graph, and the softmax behind it."""

from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import Layer, Operation
from edgecnn.explaining.layers import GraphLayer
from edgecnn.explaining.maps import LayerValues, kernels_of
from edgecnn.explaining.pictures import short

_MOST_VALUES = 4096
_DIGITS = 7
_FLATTENS = ("Reshape", "Flatten", "Squeeze")


def row_of(
    layer: GraphLayer,
    values: LayerValues | None,
    inputs: Sequence[tuple[int, ...]],
    constants: Constants,
    *,
    maps: int,
    largest_side: int,
    with_kernel_values: bool,
) -> Layer:
    """Return the row of a layer.

    Args:
        layer: the layer.
        values: its output; None if it is not a tensor of numbers.
        inputs: shapes of the layers that it reads.
        constants: the constants of the graph.
        maps: the number of maps.
        largest_side: largest side of the picture of a map, in pixels.
        with_kernel_values: whether a convolution has the values of its kernels too.
    """
    shape = () if values is None else values.own.shape
    channels = values.strongest(0, maps) if values is not None and values.is_maps else []
    is_convolution = layer.operation == "conv"
    shown = channels or (list(range(min(maps, *shape[:1]))) if is_convolution and shape else [])
    return Layer(
        id=layer.id,
        name=layer.node.name.rpartition("/")[0],
        operation=_operation(layer, shape, inputs),
        kind=layer.kind,
        precision=layer.precision,
        inputs=layer.inputs,
        shape=shape,
        parameters=layer.parameters,
        window=layer.window,
        field=layer.field,
        maps=values.maps(channels, largest_side) if values is not None and channels else (),
        values=_numbers(values.own) if values is not None and not channels else (),
        kernels=kernels_of(layer, constants, shown, with_values=with_kernel_values) if is_convolution else None,
        snr_db=None if values is None else values.snr_db(),
    )


def last_row(layers: Sequence[Layer], probabilities: np.ndarray, scores: Scores) -> Layer:
    """Return the row of the softmax or sigmoid that makes probabilities of the logits."""
    is_softmax = scores.activation == "softmax"
    name = kind = scores.activation.capitalize()
    while any(each.id == name for each in layers):
        name += "_"
    return Layer(
        id=name,
        name="",
        operation="softmax" if is_softmax else "activation",
        kind=kind,
        precision="float32",
        inputs=tuple(each.id for each in layers[-1:]),
        shape=probabilities.shape,
        parameters=0,
        values=_numbers(probabilities),
    )


def _operation(layer: GraphLayer, shape: tuple[int, ...], inputs: Sequence[tuple[int, ...]]) -> Operation:
    """Return the operation: a reshape of one map [C, H, W] to a row is a flatten."""
    if layer.operation in ("other", "flatten") and layer.node.operator in _FLATTENS:
        return "flatten" if len(shape) == 1 and [len(each) for each in inputs] == [3] else "other"
    return layer.operation


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    """Return the values of an output (K,) or (K, 1, 1), if they are not too many."""
    is_row = values.ndim == 1 or (values.ndim == 3 and values.shape[1:] == (1, 1))
    if not is_row or values.size > _MOST_VALUES:
        return ()
    return tuple(short(float(each), _DIGITS) for each in values.reshape(-1))
