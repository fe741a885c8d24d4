"""Where Q/DQ pairs are placed: which tensors of a graph are quantized, and which of those share a scale.

An engine fuses an operator into an INT8 kernel if all its inputs come from a DequantizeLinear and its output goes to a
QuantizeLinear. A ReLU after a convolution is fused into it. An operator that only moves or selects values keeps its
input's scale. The logits stay in float: quantizing them costs agreement and gains nothing. So do the outputs of a
linear layer or a sum that only float operators read: engines multiply integers there and return floats. No tensor is
quantized only for a layer that stays in float.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

_WEIGHTED = frozenset({"Conv", "Gemm"})
_KEEPS_SCALE = frozenset({"MaxPool", "Reshape", "Flatten"})
_COMPUTES = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool"})
_GIVES_FLOATS = frozenset({"Gemm", "Add"})
_FUSED_ACTIVATION = "Relu"

_SMALL, _SMALL_LAST = 1 << 14, 1 << 16
"""Weights of a linear layer, and of the last one, that is not worth quantizing: a processor's cache holds them."""


@dataclass(frozen=True)
class Placement:
    """The quantized tensors of a graph.

    Attributes:
        activations: tensor to the tensor whose range it uses: itself, or one that it shares its scale with.
        weights: initializers of convolutions and linear layers; the output channel is axis 0 of each.
        biases: bias initializer to the activation and the weight whose scales it is the product of.
        float_tensors: what stays in float32, and why.
        exact: outputs of the operators that read float tensors even where those are quantized for others.
        float_relus: outputs of the ReLUs behind linear layers in INT8 whose sums stay in float.
    """

    activations: dict[str, str]
    weights: tuple[str, ...]
    biases: dict[str, tuple[str, str]]
    float_tensors: dict[str, str]
    exact: frozenset[str]
    float_relus: frozenset[str]


def module_of(node: onnx.NodeProto) -> str:
    """Return the PyTorch module that a node came from; empty where it came from a function."""
    return node.name.rpartition("/")[0]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node; the default where it has none."""
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def readers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Map each tensor to the nodes that read it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def place(graph: onnx.GraphProto, float_layers: Mapping[str, str] | None = None) -> Placement:
    """Decide where Q/DQ pairs are placed in an FP32 graph; `float_layers` maps modules to why they stay in float."""
    sizes = {initializer.name: math.prod(initializer.dims) for initializer in graph.initializer}
    outputs = {output.name for output in graph.output}
    reasons = dict.fromkeys(sorted(outputs), "logits: quantizing them changes answers and makes nothing faster")
    relu_of = _fused_activations(graph, outputs)
    activations: dict[str, str] = {}
    weights: list[str] = []
    biases: dict[str, tuple[str, str]] = {}
    linear_relus: set[str] = set()
    demand = _Demand(graph)
    for node in graph.node:
        keeps, weighted = node.op_type in _KEEPS_SCALE, node.op_type in _WEIGHTED
        if weighted:
            asked = (float_layers or {}).get(module_of(node))
            reason = asked or _too_small(node, sizes, outputs)
            if asked:
                demand.spare(node)
            if reason:
                reasons[node.input[1]] = reason
                continue
            weights.append(node.input[1])
            if len(node.input) > 2 and node.input[2]:
                biases[node.input[2]] = (node.input[0], node.input[1])
        elif node.op_type not in _COMPUTES and not (keeps and node.input[0] in activations):
            continue
        demand.integer.add(node.output[0])
        for name in node.input[:1] if weighted or keeps else node.input:
            if name not in sizes:
                activations.setdefault(name, name)
        output = relu_of.get(node.output[0], node.output[0])
        if output not in outputs:
            activations[output] = activations[node.input[0]] if keeps else output
        if node.op_type in _GIVES_FLOATS:
            demand.only_of_integers.add(output)
        if node.op_type == "Gemm" and node.output[0] in relu_of:
            linear_relus.add(output)
    activations = {name: shared for name, shared in activations.items() if demand.of(name)}
    exact = frozenset(node.output[0] for node in graph.node if demand.spares(node))
    reasons |= _without_int8(graph, activations)
    return Placement(activations, tuple(weights), biases, reasons, exact, frozenset(linear_relus - activations.keys()))


def _too_small(node: onnx.NodeProto, sizes: Mapping[str, int], outputs: Collection[str]) -> str | None:
    """Return why a linear layer is not worth quantizing, or None if it is."""
    if node.op_type != "Gemm":
        return None
    if node.output[0] in outputs and sizes[node.input[1]] <= _SMALL_LAST:
        return "last layer: so few weights make nothing faster in INT8, and their errors reach the logits as they are"
    if sizes[node.input[1]] <= _SMALL:
        return "small linear layer: so few weights make nothing faster in INT8"
    return None


def _without_int8(graph: onnx.GraphProto, activations: Collection[str]) -> dict[str, str]:
    """Say of the operators between integers that compute floats, and nobody's choice, why they do."""
    known = {_FUSED_ACTIVATION, *_WEIGHTED, *_COMPUTES, *_KEEPS_SCALE}
    return {
        node.output[0]: f"{node.op_type}: has no INT8 form that both engines run"
        for node in graph.node
        if node.op_type not in known and any(name in activations for name in node.input)
    }


class _Demand:
    """Which tensors are read quantized: not those that only layers that stay in float read, directly or moved.

    Other float operators (an average, a small last layer) read quantized values: without the QuantizeLinear before
    them, the operator that makes the values would not run in INT8. `integer` holds the outputs of the operators that
    run in INT8, and `only_of_integers` the tensors that are quantized for such operators alone.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.integer: set[str] = set()
        self.only_of_integers: set[str] = set()
        self._spared: set[str] = set()
        self._readers = readers_of(graph)

    def spare(self, node: onnx.NodeProto) -> None:
        """Note a layer that nothing is to be quantized for."""
        self._spared.add(node.output[0])

    def of(self, name: str) -> bool:
        """Whether anything reads a tensor quantized."""
        return any(
            not self.spares(reader) and (name not in self.only_of_integers or reader.output[0] in self.integer)
            for reader in self._readers.get(name, [])
        )

    def spares(self, node: onnx.NodeProto) -> bool:
        """Whether an operator is a spared layer, or only moves values for such layers."""
        return node.output[0] in self._spared or (node.op_type in _KEEPS_SCALE and not self.of(node.output[0]))


def _fused_activations(graph: onnx.GraphProto, outputs: set[str]) -> dict[str, str]:
    """Map an operator's output to that of the ReLU which alone reads it."""
    return {
        name: nodes[0].output[0]
        for name, nodes in readers_of(graph).items()
        if len(nodes) == 1 and nodes[0].op_type == _FUSED_ACTIVATION and name not in outputs
    }
