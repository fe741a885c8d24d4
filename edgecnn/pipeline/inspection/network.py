"""Inspect a PyTorch network. Its forward pass is traced with torch.fx and runs on the meta device, on shapes only.

Reed, DeVito, He, Ussery and Ansel, torch.fx: Practical Program Capture and Transformation, 2022 (arXiv:2112.08429).
"""

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

from edgecnn.bundle.manifest import Network
from edgecnn.pipeline.inspection.layers import (
    WHOLE,
    Field,
    Inspection,
    Layer,
    dense_parameters,
    summed,
    widest,
    window,
    with_scores,
)
from edgecnn.pipeline.models.registry import build, get_architecture

_SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_GLOBAL = (nn.Linear, nn.AdaptiveAvgPool2d)
_RESHAPES = ("flatten", "reshape", "view")


def inspect_network(network: Network, subject: str | None = None) -> Inspection:
    """Inspect a network. `subject` is its name in the result, by default the architecture's name.

    Raises:
        UsageError: the architecture is unknown, or does not accept the image size.
    """
    with torch.device("meta"):
        module = build(network).eval()
        image = torch.zeros(1, network.in_channels, *network.image_size)
    try:
        walk = _ModuleWalk(_traced(module, network), module)
        walk.run(image)
        layers, seen = walk.layers, walk.seen
    except Exception:  # modules from elsewhere can raise any exception when they are traced
        if get_architecture(network.architecture).kind == "network":
            raise
        layers, seen = _watched(network)
    shape = (*network.image_size, network.in_channels)
    used = with_scores(layers, network.num_classes)
    return summed(subject or network.architecture, shape, [*used, *_unused(module, seen)])


def _traced(module: nn.Module, network: Network) -> fx.GraphModule:
    """Trace a network. Modules from elsewhere may define their own layers."""
    tracer = fx.Tracer() if get_architecture(network.architecture).kind == "network" else _LayerTracer()
    return fx.GraphModule(module, tracer.trace(module))


class _LayerTracer(fx.Tracer):
    """A tracer for which every module without inner modules is a layer."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is not traced further."""
        return _is_layer(m) or super().is_leaf_module(m, module_qualified_name)


def _is_layer(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _watched(network: Network) -> tuple[list[Layer], set[str]]:
    """Run a module that cannot be traced on zeros. Return the layers that it calls, and their names.

    Only modules without inner modules are layers. Functions are not seen, so that receptive fields are unknown.
    """
    module, layers, seen = build(network).eval(), list[Layer](), set[str]()

    def watch(name: str, part: nn.Module) -> None:
        def hook(part: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, torch.Tensor) or _is_nothing(part):
                return
            image = arguments[0] if arguments else None
            field = None if isinstance(part, _GLOBAL) else 0
            layers.append(_layer(name, part, image, output, field=field, seen=seen))
            seen.add(name)

        part.register_forward_hook(hook)

    for name, part in module.named_modules():
        if _is_layer(part):
            watch(name, part)
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        module(torch.zeros(1, network.in_channels, *network.image_size))
    return layers, seen


class _ModuleWalk(fx.Interpreter):
    """A forward pass that records each layer."""

    def __init__(self, traced: fx.GraphModule, module: nn.Module) -> None:
        super().__init__(traced)
        self.layers: list[Layer] = []
        self.seen: set[str] = set()
        self._modules = dict(module.named_modules())
        self._fields: dict[fx.Node, Field] = {}
        self._scope = ""

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and record it."""
        result = super().run_node(n)
        field = widest(self._fields[source] for source in n.all_input_nodes)
        if n.op == "call_module":
            field = self._module(str(n.target), self._first(n), result, field)
        elif n.op in ("call_function", "call_method"):
            field = self._function(n, result, field)
        self._fields[n] = field
        return result

    def _module(self, name: str, image: Any, result: torch.Tensor, field: Field) -> Field:
        module = self._modules[name]
        self._scope = name
        field = _field_behind(module, field)
        if not _is_nothing(module):
            self.layers.append(_layer(name, module, image, result, field=field.size, seen=self.seen))
        self.seen.add(name)
        return field

    def _function(self, n: fx.Node, result: torch.Tensor, field: Field) -> Field:
        name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", str(n.target))
        if name == "mean":
            name, field = "global average", WHOLE
        elif name == "adaptive_avg_pool2d":
            field = WHOLE
        elif name in _RESHAPES and result.dim() == 2:
            if self._first(n).dim() == 2:
                return field
            name = "Flatten"
        self.layers.append(Layer(self._scope_of(n), name, tuple(result.shape[1:]), 0, 0, field.size))
        return field

    def _first(self, n: fx.Node) -> Any:
        """Return the first tensor that a node reads."""
        return self.env[n.all_input_nodes[0]] if n.all_input_nodes else None

    def _scope_of(self, n: fx.Node) -> str:
        """Return the name of the module whose forward pass calls this function."""
        stack = n.meta.get("nn_module_stack") or {}
        return str(list(stack.values())[-1][0]) if stack else ""


def _is_nothing(module: nn.Module) -> bool:
    """Return whether a module does nothing, not even in training."""
    return isinstance(module, nn.Identity) or (isinstance(module, nn.Dropout) and module.p == 0)


def _layer(
    name: str, module: nn.Module, image: Any, result: torch.Tensor, *, field: int | None, seen: set[str]
) -> Layer:
    """Return the layer of a module that reads `image`. Parameters of a module in `seen` are already counted."""
    is_convolution = isinstance(module, nn.Conv2d) and isinstance(image, torch.Tensor)
    return Layer(
        name=name,
        kind=_kind(module),
        output_shape=tuple(result.shape[1:]),
        parameters=0 if name in seen else _count(module),
        macs=_macs(module, result),
        receptive_field=field,
        dense_parameters=dense_parameters(image.shape[1:], result.shape[1:]) if is_convolution else None,
    )


def _unused(module: nn.Module, seen: set[str]) -> Iterator[Layer]:
    """Yield the modules with weights that the forward pass does not call: heads used in training only.

    Weights beside layers, such as a position embedding, belong to the module that has both.
    """
    for name, part in module.named_modules():
        if name not in seen and next(part.parameters(recurse=False), None) is not None:
            is_used = any(each.startswith(f"{name}." if name else "") for each in seen)
            yield Layer(
                name, f"{_kind(part)} ({'own weights' if is_used else 'training'})", None, _count(part), 0, None
            )


def _field_behind(module: nn.Module, field: Field) -> Field:
    if isinstance(module, _SLIDING):
        kernel, stride, dilation = _window(module)
        return field.through(kernel[0], stride[0], dilation[0])
    return WHOLE if isinstance(module, _GLOBAL) else field


def _kind(module: nn.Module) -> str:
    name = type(module).__name__
    if isinstance(module, nn.Dropout):
        return f"{name} {module.p:g}"
    return window(name, *_window(module)) if isinstance(module, _SLIDING) else name


def _macs(module: nn.Module, result: torch.Tensor) -> int:
    """Return the multiply-accumulates. Each output value is a sum over one window, or over one row of weights."""
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return 0
    return math.prod(result.shape[1:]) * math.prod(module.weight.shape[1:])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters(recurse=False))


def _window(module: Any) -> tuple[tuple[int, int], ...]:
    """Return kernel, stride and dilation."""
    values = (module.kernel_size, module.stride, getattr(module, "dilation", 1))
    return tuple((value, value) if isinstance(value, int) else (value[0], value[1]) for value in values)
