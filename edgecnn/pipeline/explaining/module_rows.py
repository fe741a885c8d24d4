"""Rows for what the graph does not contain: batch norms that are folded into convolutions, and dropout."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from edgecnn.explaining.explanation import Layer


@dataclass(frozen=True)
class _Call:
    """A call of a module without inner modules, and the shape of its output without the batch dimension."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


def with_module_rows(layers: Sequence[Layer], network: nn.Module, image: torch.Tensor) -> tuple[Layer, ...]:
    """Return the layers with a row for each batch norm and dropout of a PyTorch network that has none yet.

    A batch norm follows the layer into which it is folded, which is named after the module that runs before it. A
    dropout precedes the layer that is named after the module that runs behind it. The rows have neither maps nor
    parameters: a folded batch norm is part of the weights before it, and dropout does nothing at inference. Modules
    without such a neighbour get no row.

    Args:
        layers: the layers of the graph.
        network: in evaluation mode.
        image: normalised float32 [1, C, H, W].
    """
    rows = list(layers)
    calls = list(_calls(network, image))
    named = {each.name for each in layers}
    for number, call in enumerate(calls):
        if call.name in named:
            continue
        if isinstance(call.module, _BatchNorm) and number > 0:
            _add_behind(rows, calls[number - 1].name, call)
        elif isinstance(call.module, _DropoutNd):
            following = next((each for each in calls[number + 1 :] if not isinstance(each.module, _DropoutNd)), None)
            if following is not None:
                _add_before(rows, following.name, call)
    return tuple(rows)


def _add_behind(rows: list[Layer], name: str, call: _Call) -> None:
    """Add a batch norm behind the convolution or linear layer with this name."""
    places = [i for i, each in enumerate(rows) if each.name == name and each.operation in ("conv", "linear")]
    if len(places) != 1:
        return
    place = places[0]
    layer = rows[place]
    row = Layer(
        id=f"{call.name}/{type(call.module).__name__}",
        name=call.name,
        operation="batch_norm",
        kind=f"{type(call.module).__name__}, folded into {name}",
        precision="float32",
        inputs=(layer.id,),
        shape=call.shape,
        parameters=0,
        field=layer.field,
    )
    rows[place + 1 :] = [row, *(_reading(each, layer.id, row.id) for each in rows[place + 1 :])]


def _add_before(rows: list[Layer], name: str, call: _Call) -> None:
    """Add a dropout before the layer with this name, which must read one layer."""
    places = [i for i, each in enumerate(rows) if each.name == name and len(each.inputs) == 1]
    if len(places) != 1:
        return
    place = places[0]
    layer = rows[place]
    source = next((each for each in rows if each.id == layer.inputs[0]), None)
    row = Layer(
        id=f"{call.name}/{type(call.module).__name__}",
        name=call.name,
        operation="dropout",
        kind=type(call.module).__name__,
        precision="float32",
        inputs=layer.inputs,
        shape=call.shape,
        parameters=0,
        field=None if source is None else source.field,
    )
    rows[place : place + 1] = [row, replace(layer, inputs=(row.id,))]


def _reading(layer: Layer, old: str, new: str) -> Layer:
    return replace(layer, inputs=tuple(new if each == old else each for each in layer.inputs))


def _calls(network: nn.Module, image: torch.Tensor) -> Iterator[_Call]:
    """Run a network and yield the calls of its modules without inner modules, in order."""
    calls: list[_Call] = []

    def watch(name: str, module: nn.Module) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, torch.Tensor):
                calls.append(_Call(name, module, tuple(output.shape[1:])))

        return module.register_forward_hook(hook)

    leaves = [(name, each) for name, each in network.named_modules() if next(each.children(), None) is None]
    handles = [watch(name, each) for name, each in leaves]
    try:
        with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    yield from calls
