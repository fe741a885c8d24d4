"""The layers of a graph in the order of the data: operations, wires, windows and receptive fields.

Q/DQ pairs, conversions of types and shape arithmetic are not layers: wires go through them.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgecnn.bundle.four_bits import OPERATOR
from edgecnn.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import Operation, ReceptiveField, Window
from edgecnn.explaining.graph import Graph, Node
from edgecnn.explaining.windows import ONE_PIXEL, behind, described, widest, window_of

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_PASSED = (_QUANTIZE, _DEQUANTIZE, "Cast", "Identity", "Dropout")
_OF_SHAPES = ("Shape", "Size")
_NO_TENSORS = ("SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SplitToSequence", "Optional")
"""Operators whose output is not a tensor."""

_OPERATIONS: dict[str, Operation] = {
    "Conv": "conv",
    "Gemm": "linear",
    "MaxPool": "max_pool",
    "AveragePool": "average_pool",
    "GlobalAveragePool": "global_average_pool",
    "Flatten": "flatten",
    "Relu": "relu",
    "BatchNormalization": "batch_norm",
    "Add": "add",
    "Mul": "multiply",
    "Concat": "concat",
    "Softmax": "softmax",
}
_ACTIVATIONS = (
    *("Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Gelu"),
    *("Swish", "Mish", "Softplus", "Softsign", "ThresholdedRelu"),
)
_LEARNED = ("Conv", "Gemm", "MatMul", OPERATOR)
_PRODUCTS = ("MatMul", OPERATOR)
"""Linear layers without a bias: an Add may follow."""

_NEEDS_TWO: tuple[Operation, ...] = ("add", "multiply", "concat")
"""Operations that join branches. With one branch and a constant they are `other`."""

_KEEPS_PLACES = ("relu", "activation", "batch_norm", "normalize", "add", "multiply", "concat")
"""Operations whose unit at a place reads its inputs at this place only."""
_ELEMENTWISE = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Sqrt",
    "Neg",
    "Abs",
    "Exp",
    "Log",
    "Erf",
    "Min",
    "Max",
    "Concat",
    "LRN",
)


@dataclass(frozen=True)
class GraphLayer:
    """One layer of a graph.

    Attributes:
        id: name of its output tensor.
        node: its node; of a matrix product and a sum with a bias, the product.
        operation: what it does; a Reshape is `other` here, because its shape is not known yet.
        kind: operator and window as text.
        precision: precision of the computation; int4 of a linear layer with weights in 4 bits.
        inputs: ids of the layers that it reads.
        parameters: number of learned values.
        window: of convolutions and pooling.
        field: receptive field of one unit; None if it is the whole image or unknown.
        tensor: tensor with its values: the output, or for a quantized one, what the next layer reads.
        bias: name of the constant that is added; empty without one.
        is_inner: whether an integer operation of an engine includes the next layer. Its values are then not computed
            where the graph is served.
    """

    id: str
    node: Node
    operation: Operation
    kind: str
    precision: Literal["float32", "int8", "int4"]
    inputs: tuple[str, ...]
    parameters: int
    window: Window | None
    field: ReceptiveField | None
    tensor: str
    bias: str = ""
    is_inner: bool = False

    @property
    def weights(self) -> str:
        """Name of the weights of a convolution or a linear layer; empty for other layers."""
        return self.node.inputs[1] if self.operation in ("conv", "linear") else ""

    @property
    def output_axis(self) -> int:
        """Axis of the outputs in the weights of a convolution or a linear layer."""
        is_first = self.operation == "conv" or self.node.operator == OPERATOR or self.node.number("transB", 0)
        return 0 if is_first else 1


def layers_of(graph: Graph, constants: Constants) -> tuple[GraphLayer, ...]:
    """Return the layers of a bundle's graph in file order, in which each layer follows the layers that it reads."""
    return _Walk(graph, constants).layers()


class _Walk:
    """Visits the nodes and tracks, for each tensor that depends on the image, the layer that made it."""

    def __init__(self, graph: Graph, constants: Constants) -> None:
        self._graph = graph
        self._constants = constants
        self._source: dict[str, str] = {INPUT_NAME: ""}  # the image comes from no layer
        self._layers: dict[str, GraphLayer] = {}
        self._dequantized = {each for node in graph.nodes if node.operator == _DEQUANTIZE for each in node.outputs}
        self._readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        self._counted: Counter[str] = Counter()

    def layers(self) -> tuple[GraphLayer, ...]:
        for node in self._graph.nodes:
            self._visit(node)
        return tuple(replace(each, is_inner=self._is_inner(each)) for each in self._layers.values())

    def _visit(self, node: Node) -> None:
        data = [name for name in node.inputs if name in self._source]
        if not data or node.operator in _OF_SHAPES:
            return  # it computes a constant, or a shape
        sources = [self._source[name] for name in data]
        is_first = node.operator == "Transpose" and sources == [""]  # the image becomes [N, C, H, W]
        if is_first or node.operator in _PASSED:
            made = sources[0]
        elif self._is_bias_of(node, data):
            made = self._with_bias(node, sources[0])
        else:
            layer = self._layer(node, data, tuple(dict.fromkeys(filter(None, sources))))
            self._layers[layer.id] = layer
            made = layer.id
        for name in filter(None, node.outputs):
            self._source[name] = made

    def _layer(self, node: Node, data: list[str], inputs: tuple[str, ...]) -> GraphLayer:
        operation = self._operation(node, data)
        shape = self._constants.shape(node.inputs[1]) if operation == "conv" else ()
        window = window_of(node, shape) if operation in ("conv", "max_pool", "average_pool") else None
        if operation == "conv" and len(shape) != 4:
            operation = "other"
        may_have_bias = operation in ("conv", "linear") and node.operator not in _PRODUCTS
        has_bias = may_have_bias and len(node.inputs) > 2 and node.inputs[2] in self._constants
        return GraphLayer(
            id=node.outputs[0],
            node=node,
            operation=operation,
            kind=self._kind(node, operation, window),
            precision=self._precision(node, data, operation),
            inputs=inputs,
            parameters=self._parameters(node),
            window=window,
            field=self._field(node, operation, window, [self._source[name] for name in data]),
            tensor=self._value_of(node.outputs[0]),
            bias=node.inputs[2] if has_bias else "",
        )

    def _operation(self, node: Node, data: list[str]) -> Operation:
        found = "activation" if node.operator in _ACTIVATIONS else _OPERATIONS.get(node.operator, "other")
        if node.operator in _LEARNED:
            is_learned = len(node.inputs) > 1 and node.inputs[1] in self._constants and node.inputs[0] in data
            is_matrix = (
                node.operator == "Conv" or len(self._constants.shape(node.inputs[1])) == 2 if is_learned else False
            )
            return ("conv" if node.operator == "Conv" else "linear") if is_matrix else "other"
        if found == "batch_norm" and self._source[data[0]] == "":
            return "normalize"
        if node.operator == "Max" and len(data) == 1 and self._is_zero(node, data[0]):
            return "relu"  # quantization writes a ReLU as Max where an engine would fuse it into a float operator
        if node.operator == "ReduceMean" and self._axes(node) == (2, 3):
            return "global_average_pool"
        return "other" if found in _NEEDS_TWO and len(data) < 2 else found

    def _axes(self, node: Node) -> tuple[int, ...]:
        """Return the axes of a mean over a map [N, C, H, W]."""
        values = self._constants.values(node.inputs[1]) if len(node.inputs) > 1 else None
        axes = node.numbers("axes") if values is None else tuple(int(each) for each in values.reshape(-1))
        return tuple(sorted(axis % 4 for axis in axes))

    def _is_zero(self, node: Node, data: str) -> bool:
        others = [self._constants.values(name) for name in node.inputs if name != data]
        return all(each is not None and not np.any(each) for each in others)

    def _kind(self, node: Node, operation: Operation, window: Window | None) -> str:
        if window is not None:
            return described(node.operator, window)
        if node.operator == "Clip":
            limits = [self._constants.values(name) for name in node.inputs[1:3]]
            if len(limits) == 2 and all(each is not None and each.size == 1 for each in limits):
                low, high = (float(each.reshape(-1)[0]) for each in limits if each is not None)
                return f"Clip {low:g} to {high:g}"
        return "Relu" if operation == "relu" else "Gemm" if node.operator == OPERATOR else node.operator

    def _precision(self, node: Node, data: list[str], operation: Operation) -> Literal["float32", "int8", "int4"]:
        if node.operator == OPERATOR:
            return "int4"
        return "int8" if self._is_integer(node, data, operation) else "float32"

    def _is_integer(self, node: Node, data: list[str], operation: Operation) -> bool:
        weights = node.inputs[1:2] if operation in ("conv", "linear") else ()
        is_quantized = self._dequantized.issuperset(data) and all(map(self._constants.is_integer, weights))
        # A ReLU behind an integer operation is fused into it.
        before = self._layers.get(self._source[data[0]])
        is_fused = operation == "relu" and before is not None and before.precision == "int8" and before.id == data[0]
        return is_quantized or is_fused

    def _parameters(self, node: Node) -> int:
        """Return the number of weights and biases, each counted once."""
        if node.operator not in _LEARNED:
            return 0
        learned = node.inputs[1:2] if node.operator == OPERATOR else node.inputs[1:]  # without scales, zero points
        fresh = [name for name in learned if name in self._constants and not self._counted[name]]
        self._counted.update(fresh)
        return sum(map(self._constants.size, fresh))

    def _field(
        self, node: Node, operation: Operation, window: Window | None, sources: list[str]
    ) -> ReceptiveField | None:
        fields = [ONE_PIXEL if each == "" else self._layers[each].field for each in sources]
        before = widest(fields)
        if before is None:
            return None
        if window is not None:
            return behind(window, before)
        keeps = operation in _KEEPS_PLACES or node.operator in _ELEMENTWISE
        return before if keeps and (node.operator != "Concat" or node.number("axis", 1) == 1) else None

    def _is_bias_of(self, node: Node, data: list[str]) -> bool:
        """Return whether a node adds a bias to the matrix product before it, and is the only one that reads it."""
        before = self._layers.get(self._source[data[0]])
        if node.operator != "Add" or len(data) != 1 or before is None or before.id != data[0]:
            return False
        others = [name for name in node.inputs if name != data[0]]
        is_vector = all(name in self._constants and len(self._constants.shape(name)) == 1 for name in others)
        is_product = before.operation == "linear" and before.node.operator in _PRODUCTS and not before.bias
        return is_product and is_vector and len(others) == 1 and len(self._readers[data[0]]) == 1

    def _with_bias(self, node: Node, product: str) -> str:
        (bias,) = (name for name in node.inputs if name in self._constants)
        layer = self._layers.pop(product)
        made = node.outputs[0]
        parameters = layer.parameters + self._constants.size(bias)
        self._layers[made] = replace(layer, id=made, tensor=self._value_of(made), bias=bias, parameters=parameters)
        return made

    def _value_of(self, name: str) -> str:
        """Return the tensor that the next layers read: behind a Q/DQ pair if all of them read it."""
        readers = self._readers.get(name, [])
        if name == OUTPUT_NAME or not readers or any(each.operator != _QUANTIZE for each in readers):
            return name
        behind_it = [each for reader in readers for each in self._readers.get(reader.outputs[0], [])]
        return next((each.outputs[0] for each in behind_it if each.operator == _DEQUANTIZE), name)

    def _is_inner(self, layer: GraphLayer) -> bool:
        readers = self._readers.get(layer.id, [])
        if layer.precision != "int8" or len(readers) != 1 or readers[0].operator not in ("Relu", "Clip"):
            return False
        following = self._layers.get(readers[0].outputs[0])
        return following is not None and following.tensor != following.id


def has_tensor(layer: GraphLayer) -> bool:
    """Return whether the output of a layer is a tensor, which an engine can return."""
    return layer.node.operator not in _NO_TENSORS
