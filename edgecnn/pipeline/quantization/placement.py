"""Placement of Q/DQ pairs: which tensors of a graph are quantized, and which of them share a scale.

An engine fuses an operator into an INT8 kernel if all its inputs come from a DequantizeLinear and its output goes to a
QuantizeLinear. A ReLU or ReLU6 after a convolution is fused into it: the QuantizeLinear after it limits the range in
the same way. An operator that only moves or selects values keeps its input's scale. The logits stay in float:
quantizing them costs agreement and gains nothing. The outputs of a linear layer or a sum stay in float if only float
operators read them: engines multiply integers there and return floats. A linear layer with weights in 4 bits is a float
operator: its engine kernel rounds the input itself. Other activations (HardSwish, SiLU) are float
operators between integers: without the QuantizeLinear before them, ONNX Runtime would run the convolution in float. No
tensor is quantized only for a layer that stays in float.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import onnx
from onnx import numpy_helper

from edgecnn.pipeline.canonical.nodes import is_layer, is_silu, makers_of, module_of, readers_of
from edgecnn.pipeline.quantization.depthwise import float_layers as mobile_layers

_KEEPS_SCALE = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split"})
_COMPUTES = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool", "Mul"})
_GIVES_FLOATS = frozenset({"Gemm", "Add"})
_FUSED_ACTIVATIONS = frozenset({"Relu", "Clip"})

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
        four_bits: initializers of linear layers with weights in 4 bits.
        asked_float: modules of layers that were asked to stay in float, to the reasons.
    """

    activations: dict[str, str]
    weights: tuple[str, ...]
    biases: dict[str, tuple[str, str]]
    float_tensors: dict[str, str]
    exact: frozenset[str]
    float_relus: frozenset[str]
    four_bits: tuple[str, ...] = ()
    asked_float: Mapping[str, str] = field(default_factory=dict)


def place(
    graph: onnx.GraphProto, float_layers: Mapping[str, str] | None = None, four_bits: Collection[str] = ()
) -> Placement:
    """Return the placement of Q/DQ pairs in a canonical FP32 graph.

    Args:
        graph: the graph.
        float_layers: modules of layers that stay in float, to the reasons.
        four_bits: initializers of linear layers with weights in 4 bits.
    """
    placer = _Placer(graph, float_layers or {}, four_bits)
    for node in graph.node:
        placer.add(node)
    return dataclasses.replace(placer.result(), asked_float=dict(float_layers or {}))


class _Placer:
    """Places the Q/DQ pairs of a graph, node by node in the graph's order."""

    def __init__(self, graph: onnx.GraphProto, float_layers: Mapping[str, str], four_bits: Collection[str]) -> None:
        constants = {initializer.name: initializer for initializer in graph.initializer}
        self._graph = graph
        self._float_layers = {**mobile_layers(graph), **float_layers}
        self._outputs = {output.name for output in graph.output}
        self._kinds = _Kinds(graph, constants)
        self._demand = _Demand(graph)
        self._activation_of = _fused_activations(graph, constants, self._outputs)
        self._reasons = dict.fromkeys(
            sorted(self._outputs), "logits: quantizing them changes labels and gains no speed"
        )
        self._activations: dict[str, str] = {}
        self._asked_four_bits = four_bits
        self._weights: list[str] = []
        self._four_bits: list[str] = []
        self._biases: dict[str, tuple[str, str]] = {}
        self._linear_relus: set[str] = set()
        self._small: list[onnx.NodeProto] = []

    def add(self, node: onnx.NodeProto) -> None:
        """Place the Q/DQ pairs of a node's inputs and outputs."""
        kind = self._kinds.of(node)
        if kind == "layer" and self._stays_in_float(node):
            return
        if kind == "float" or (kind == "moves" and node.input[0] not in self._activations):
            return
        if kind == "layer":
            self._weights.append(node.input[1])
            if len(node.input) > 2 and node.input[2]:
                self._biases[node.input[2]] = (node.input[0], node.input[1])
        self._demand.integer.update(node.output)
        for name in node.input if kind == "computes" else node.input[:1]:
            self._activations.setdefault(name, name)
        for each in node.output:
            output = self._fused(each)
            if output not in self._outputs:
                self._activations[output] = self._activations[node.input[0]] if kind == "moves" else output
            if node.op_type in _GIVES_FLOATS:
                self._demand.only_of_integers.add(output)
            if node.op_type == "Gemm" and output != each:
                self._linear_relus.add(output)

    def result(self) -> Placement:
        """Return the placement of all nodes, without tensors that nothing reads quantized."""
        for node in self._small:
            # ONNX Runtime 1.32 quantizes the weights of a float layer between quantized tensors, with one scale.
            output = self._fused(node.output[0])
            if output in self._activations and self._demand.of(output):
                self._demand.spare(node)
        activations = {name: shared for name, shared in self._activations.items() if self._demand.of(name)}
        return Placement(
            activations,
            tuple(self._weights),
            self._biases,
            self._reasons | _without_int8(self._graph, self._kinds, activations),
            frozenset(node.output[0] for node in self._graph.node if self._demand.spares(node)),
            frozenset(self._linear_relus - activations.keys()),
            tuple(self._four_bits),
        )

    def _stays_in_float(self, node: onnx.NodeProto) -> bool:
        """Return whether a layer stays in float or has weights in 4 bits, and record the reason."""
        asked = self._float_layers.get(module_of(node))
        reason = asked or self._kinds.too_small(node, self._outputs)
        if reason is None:
            if node.input[1] not in self._asked_four_bits:
                return False
            self._four_bits.append(node.input[1])
            return True
        self._reasons[node.input[1]] = reason
        if asked:
            self._demand.spare(node)
        else:
            self._small.append(node)
        return True

    def _fused(self, output: str) -> str:
        """Return the output of the activation that is fused into an operator, or the operator's own output."""
        return self._activation_of.get(output, output)


class _Kinds:
    """Classifies the operators of a graph."""

    def __init__(self, graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto]) -> None:
        self._constants = constants
        self._makers = makers_of(graph)
        self._shapes = {info.name: info.type.tensor_type for info in graph.value_info}

    def of(self, node: onnx.NodeProto) -> Literal["layer", "computes", "moves", "float"]:
        """Return whether a node has weights, computes new values, only moves values, or has no INT8 form."""
        if is_layer(node, self._constants):
            return "layer"
        if node.op_type in _COMPUTES and not any(map(self._is_other, node.input)) and not is_silu(node, self._makers):
            return "computes"
        return "moves" if node.op_type in _KEEPS_SCALE else "float"

    def _is_other(self, name: str) -> bool:
        """Return whether a tensor is a constant, or not float32."""
        found = self._shapes.get(name)
        return name in self._constants or (found is not None and found.elem_type != onnx.TensorProto.FLOAT)

    def too_small(self, node: onnx.NodeProto, outputs: Collection[str]) -> str | None:
        """Return why a layer is not worth quantizing, or None if it is."""
        size = math.prod(self._constants[node.input[1]].dims)
        if node.op_type == "Gemm" and node.output[0] in outputs and size <= _SMALL_LAST:
            return "last layer: too few weights for a speed gain in INT8, and their errors directly change the logits"
        if size <= _SMALL and (node.op_type == "Gemm" or self._is_one_pixel(node.output[0])):
            return "small linear layer: too few weights for a speed gain in INT8"
        return None

    def _is_one_pixel(self, name: str) -> bool:
        """Return whether a feature map has one pixel: a convolution that gives it is a linear layer."""
        found = self._shapes.get(name)
        return found is not None and [each.dim_value for each in found.shape.dim[2:]] == [1, 1]


def _without_int8(graph: onnx.GraphProto, kinds: _Kinds, activations: Collection[str]) -> dict[str, str]:
    """Return the reasons of the operators that stay in float because engines have no INT8 form of them."""
    return {
        node.output[0]: f"{node.op_type}: no INT8 form that both engines support"
        for node in graph.node
        if kinds.of(node) == "float"
        and node.op_type not in _FUSED_ACTIVATIONS
        and any(name in activations for name in node.input)
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
        return node.output[0] in self._spared or (node.op_type in _KEEPS_SCALE and not any(map(self.of, node.output)))


def _fused_activations(
    graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto], outputs: set[str]
) -> dict[str, str]:
    """Return a map from an operator's output to the output of the ReLU or ReLU6 that is its only reader."""
    return {
        name: nodes[0].output[0]
        for name, nodes in readers_of(graph).items()
        if len(nodes) == 1 and _is_fused(nodes[0], constants) and name not in outputs
    }


def _is_fused(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Return whether a node is a ReLU, or a Clip from 0. Another lower end may lie between two integers."""
    if node.op_type != "Clip":
        return node.op_type == "Relu"
    if len(node.input) < 2 or node.input[1] not in constants:
        return False
    return not numpy_helper.to_array(constants[node.input[1]]).any() and all(
        name in constants for name in node.input[2:]
    )
