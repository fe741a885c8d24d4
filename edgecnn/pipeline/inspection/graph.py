"""Inspect a bundle's ONNX graph as it runs on the device: batch norms folded, layers in INT8 or float.

Q/DQ pairs are not layers. They define the precision of the operators between them.
"""

import math

import onnx

from edgecnn.bundle.four_bits import OPERATOR
from edgecnn.bundle.manifest import INPUT_NAME
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError
from edgecnn.pipeline.canonical.nodes import attribute, bias_sums
from edgecnn.pipeline.canonical.shapes import inferred_graph
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
from edgecnn.prediction import Stage

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_WEIGHTED = ("Conv", "Gemm", "MatMul", OPERATOR)
_SLIDING = ("Conv", "MaxPool", "AveragePool")
_GLOBAL = ("Gemm", "MatMul", OPERATOR, "GlobalAveragePool", "ReduceMean")
_RESHAPES = ("Reshape", "Flatten")
_MOVES_NUMBERS = ("Cast", "Transpose", "Identity", *_RESHAPES)


def inspect_bundle(bundle: Bundle, *, stage: Stage = "fast") -> Inspection:
    """Inspect a bundle's graph, or one graph of a cascade.

    Raises:
        BundleError: the graph cannot be read.
    """
    path, manifest = bundle.models[0 if stage == "fast" else 1], bundle.manifest
    try:
        layers = _layers(onnx.load(str(path)))
    except Exception as error:  # the exceptions of protobuf and onnx have no common base class
        raise BundleError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    scored = with_scores(layers, bundle.classes, manifest.scores.activation)
    name = manifest.name if manifest.cascade is None else f"{manifest.name}, {stage} graph"
    return summed(name, manifest.image_shape, scored)


def count_macs(model: onnx.ModelProto) -> int:
    """Return the multiply-accumulates of a graph for one image, like the total of `inspect_bundle`.

    Raises:
        BundleError: the shapes in the graph contradict each other.
    """
    try:
        return sum(layer.macs for layer in _layers(model))
    except onnx.shape_inference.InferenceError as error:
        raise BundleError(f"cannot count the graph's MACs: {' '.join(str(error).split())[:200]}") from None


def _layers(model: onnx.ModelProto) -> list[Layer]:
    walk = _GraphWalk(model.graph, inferred_graph(model))
    return [layer for node in model.graph.node if (layer := walk.node(node)) is not None]


class _GraphWalk:
    """Visits the nodes in order and tracks each tensor's receptive field, precision and shape."""

    def __init__(self, graph: onnx.GraphProto, inferred: onnx.GraphProto) -> None:
        self._constants = {initializer.name: tuple(initializer.dims) for initializer in graph.initializer}
        for node in graph.node:
            if node.op_type == OPERATOR:
                self._constants[node.input[1]] = (attribute(node, "N", 0), attribute(node, "K", 0))
        self._bias_of = {product: node.input[1] for product, node in bias_sums(graph).items()}
        self._shapes = {  # without the batch dimension
            info.name: tuple(dimension.dim_value for dimension in info.type.tensor_type.shape.dim[1:])
            for info in (*inferred.value_info, *inferred.input, *inferred.output)
        }
        self._fields = {INPUT_NAME: Field()}
        self._dequantized: set[str] = set()
        self._integer: set[str] = set()  # outputs of INT8 operators; a following ReLU is fused into the operator
        self._counted: set[str] = set()

    def node(self, node: onnx.NodeProto) -> Layer | None:
        """Process one node. Return its layer, or None if the node is not a layer."""
        output = node.output[0]
        if node.op_type in (_DEQUANTIZE, "Cast") and node.input[0] in self._constants:
            self._constants[output] = self._constants[node.input[0]]  # weights, stored as integers or in float16
            if node.op_type == _DEQUANTIZE:
                self._dequantized.add(output)
            return None
        if node.op_type == "Add" and node.input[0] in self._bias_of:  # part of the linear layer before it
            self._fields[output] = self._fields[node.input[0]]
            return None
        data = [name for name in node.input if name in self._fields]
        field = self._behind(node, widest(self._fields[name] for name in data))
        self._fields[output] = field
        if node.op_type == _DEQUANTIZE:
            self._dequantized.add(output)
        shape = self._shapes.get(output, ())
        flattens = node.op_type in _RESHAPES and len(shape) == 1 < len(self._shapes.get(node.input[0], ()))
        if node.op_type in (_QUANTIZE, _DEQUANTIZE, *_MOVES_NUMBERS) and not flattens:
            return None
        fused = node.op_type == "Relu" and node.input[0] in self._integer
        read = [*data, *node.input[1:2]] if node.op_type in _WEIGHTED else data
        integer = fused or (bool(data) and self._dequantized.issuperset(read))
        if integer:
            self._integer.add(output)
        return Layer(
            name=node.name.rpartition("/")[0],
            kind="Flatten" if flattens else _kind(node),
            output_shape=shape,
            parameters=self._parameters(node),
            macs=self._macs(node, shape),
            receptive_field=field.size,
            precision="int4" if node.op_type == OPERATOR else "int8" if integer else "float32",
            dense_parameters=self._dense(node, shape),
        )

    def _behind(self, node: onnx.NodeProto, field: Field) -> Field:
        if node.op_type in _SLIDING:
            kernel, stride, dilation = _window(node)
            return field.through(kernel[0], stride[0], dilation[0])
        return WHOLE if node.op_type in _GLOBAL else field

    def _parameters(self, node: onnx.NodeProto) -> int:
        """Return the number of weights and biases, each counted once, without shapes and normalisation constants."""
        if node.op_type not in _WEIGHTED:
            return 0
        learned = node.input[1:]
        if node.op_type == OPERATOR:  # the others are scales and zero points
            learned = [node.input[1], self._bias_of.get(node.output[0], "")]
        fresh = {name for name in learned if name in self._constants} - self._counted
        self._counted |= fresh
        return sum(math.prod(self._constants[name]) for name in fresh)

    def _macs(self, node: onnx.NodeProto, shape: tuple[int, ...]) -> int:
        if node.op_type not in _WEIGHTED:
            return 0
        weights = self._constants.get(node.input[1], ())
        return math.prod(shape) * math.prod(weights[1:]) if node.op_type == "Conv" else math.prod(weights)

    def _dense(self, node: onnx.NodeProto, shape: tuple[int, ...]) -> int | None:
        if node.op_type != "Conv":
            return None
        return dense_parameters(self._shapes.get(node.input[0], ()), shape)


def _kind(node: onnx.NodeProto) -> str:
    if node.op_type == "Max":  # quantization writes a ReLU as Max where an engine would fuse it into a float operator
        return "Relu"
    if node.op_type == OPERATOR:
        return "Gemm"
    return window(node.op_type, *_window(node)) if node.op_type in _SLIDING else node.op_type


def _window(node: onnx.NodeProto) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return kernel, stride and dilation."""
    found = {attribute.name: tuple(attribute.ints) for attribute in node.attribute}
    return found["kernel_shape"], found.get("strides") or (1, 1), found.get("dilations") or (1, 1)
