"""Placement of Q/DQ pairs: which tensors of a graph are quantized, and which of them share a scale.

An engine fuses an operator into an INT8 kernel if all its inputs come from a DequantizeLinear and its output goes to a
QuantizeLinear. A ReLU after a convolution is fused into it. An operator that only moves or selects values keeps its
input's scale. The logits stay in float: quantizing them costs agreement and gains nothing. The outputs of a linear
layer or a sum stay in float if only float operators read them: engines multiply integers there and return floats. No
tensor is quantized only for a layer that stays in float.
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
"""Up to these numbers of weights, a linear layer, or the last one, is not quantized: the processor's cache holds it."""


@dataclass(frozen=True)
class Placement:
    """The quantized tensors of a graph.

    Attributes:
        activations: tensor to the tensor whose range it uses: itself, or the one that it shares its scale with.
        weights: initializers of convolutions and linear layers. Axis 0 is the output channel.
        biases: bias initializer to (activation, weight). The bias scale is the product of their scales.
        float_tensors: tensor in float32 to the reason.
        exact: outputs of the operators that read float tensors even if these are also quantized for other operators.
        float_relus: outputs of ReLUs after INT8 linear layers whose sums stay in float.
    """

    activations: dict[str, str]
    weights: tuple[str, ...]
    biases: dict[str, tuple[str, str]]
    float_tensors: dict[str, str]
    exact: frozenset[str]
    float_relus: frozenset[str]


def module_of(node: onnx.NodeProto) -> str:
    """Return the PyTorch module of a node; empty if it comes from a function."""
    return node.name.rpartition("/")[0]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or the default."""
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def readers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Return a map from each tensor to the nodes that read it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def place(graph: onnx.GraphProto, float_layers: Mapping[str, str] | None = None) -> Placement:
    """Return the placement of Q/DQ pairs in an FP32 graph. `float_layers` maps float modules to reasons."""
    sizes = {initializer.name: math.prod(initializer.dims) for initializer in graph.initializer}
    outputs = {output.name for output in graph.output}
    reasons = dict.fromkeys(sorted(outputs), "logits: quantizing them changes labels and gains no speed")
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
        return "last layer: too few weights for a speed gain in INT8, and their errors directly change the logits"
    if sizes[node.input[1]] <= _SMALL:
        return "small linear layer: too few weights for a speed gain in INT8"
    return None


def _without_int8(graph: onnx.GraphProto, activations: Collection[str]) -> dict[str, str]:
    """Return the reasons of the operators that stay in float because engines have no INT8 form of them."""
    known = {_FUSED_ACTIVATION, *_WEIGHTED, *_COMPUTES, *_KEEPS_SCALE}
    return {
        node.output[0]: f"{node.op_type}: no INT8 form that both engines support"
        for node in graph.node
        if node.op_type not in known and any(name in activations for name in node.input)
    }


class _Demand:
    """Decides which tensors are quantized: not if only float layers read them, directly or after a move.

    Other float operators (an average, a small last layer) read quantized values: without the QuantizeLinear before
    them, the operator that produces the values would not run in INT8. `integer` contains the outputs of the operators
    that run in INT8. `only_of_integers` contains the tensors that are quantized only for such operators.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.integer: set[str] = set()
        self.only_of_integers: set[str] = set()
        self._spared: set[str] = set()
        self._readers = readers_of(graph)

    def spare(self, node: onnx.NodeProto) -> None:
        """Record a layer that stays in float."""
        self._spared.add(node.output[0])

    def of(self, name: str) -> bool:
        """Return whether an operator reads a tensor quantized."""
        return any(
            not self.spares(reader) and (name not in self.only_of_integers or reader.output[0] in self.integer)
            for reader in self._readers.get(name, [])
        )

    def spares(self, node: onnx.NodeProto) -> bool:
        """Return whether an operator is a spared layer, or only moves values for such layers."""
        return node.output[0] in self._spared or (node.op_type in _KEEPS_SCALE and not self.of(node.output[0]))


def _fused_activations(graph: onnx.GraphProto, outputs: set[str]) -> dict[str, str]:
    """Return a map from an operator's output to the output of the ReLU that is its only reader."""
    return {
        name: nodes[0].output[0]
        for name, nodes in readers_of(graph).items()
        if len(nodes) == 1 and nodes[0].op_type == _FUSED_ACTIVATION and name not in outputs
    }
