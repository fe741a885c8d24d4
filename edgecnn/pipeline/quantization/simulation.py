"""How would an INT8 graph answer on a CPU that adds pairs of products in 16 bits? Predicted on any machine.

Without VNNI, AVX2 and AVX-512 multiply uint8 by int8 and add two neighbouring products in a register of 16 bits that
saturates (`vpmaddubsw`). The simulated graph is the INT8 graph with what that loses taken off each layer's sums, in
float operators that are exact for whole numbers of this size; so any engine can run it.

Assumed is the pairing of ONNX Runtime's U8S8 kernels (MLAS), as they are unless they are told to sum exactly: the
inputs of a sum are numbered with the channels last, kernel row, kernel column, channel, and number 2i is added to
number 2i + 1. Kernels that pair otherwise saturate at other places, though about as often.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgecnn.errors import BundleError, EngineError, UsageError
from edgecnn.pipeline.quantization.placement import attribute, readers_of
from edgecnn.pipeline.quantization.trial import open_session, run
from edgecnn.runtime.backend import SessionInfo, deliver
from edgecnn.runtime.host import usable_cores

PAIRING = (
    "ONNX Runtime's AVX2 kernels, which add the products of neighbouring channels in 16 bits unless told otherwise"
)

_HIGHEST, _LOWEST = 32767, -32768
_LARGEST_INPUT = 255
_BATCH = 4  # pairs take room of their own


class SimulatedSession:
    """A graph as a saturating CPU would run it; computed by ONNX Runtime in float."""

    concurrency = 1

    def __init__(self, model: onnx.ModelProto) -> None:
        """Rewrite and load an INT8 graph; see `saturated`."""
        self._session: onnxruntime.InferenceSession | None = open_session(saturated(model))
        self.info = SessionInfo("simulated-avx2", onnxruntime.__version__, "cpu", "fp32", usable_cores())

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        if self._session is None:
            raise EngineError("this session is closed: open the bundle again")
        starts = range(0, len(images), _BATCH)
        logits = [run(self._session, None, images[start : start + _BATCH])[0] for start in starts]
        return deliver(np.concatenate(logits), out)

    def close(self) -> None:
        """See `Session.close`."""
        self._session = None


def simulate(path: Path) -> SimulatedSession:
    """Open the INT8 graph in a file.

    Raises:
        BundleError: it is no graph.
        UsageError: see `saturated`.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and onnx's own, which share no base class
        raise BundleError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    return SimulatedSession(model)


def saturated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph whose sums saturate; `model` stays as it is.

    Args:
        model: an INT8 graph in QDQ form, as `rewrite` makes it.

    Raises:
        UsageError: a layer that could saturate is of a kind whose kernel is not known here.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    reader = _Reader(inferred.graph)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for node in inferred.graph.node:
        layer = reader.layer(node)
        pairs = [] if layer is None else list(_saturating_pairs(layer.weights))
        if layer is None or not pairs:
            nodes.append(node)
            continue
        _check_known(node, layer)
        exact = onnx.NodeProto()
        exact.CopyFrom(node)
        exact.output[0] = f"{node.output[0]}/exact"
        loss = _Loss(node, layer)
        nodes += [exact, *loss.nodes(pairs), loss.taken_from(exact.output[0])]
        constants += loss.constants
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants)
    return result


@dataclass(frozen=True)
class _Layer:
    """An INT8 convolution or linear layer.

    Attributes:
        quantized: name of its input as integers.
        zero_point: of that input, uint8 where a kernel is known.
        weights: int8 [O, kernel height, kernel width, C], or [O, K] of a linear layer.
        steps: float32 [O]: what a sum of 1 stands for.
        output_shape: height and width of a convolution's output.
    """

    quantized: str
    zero_point: np.ndarray
    weights: np.ndarray
    steps: np.ndarray
    output_shape: tuple[int, ...]


@dataclass(frozen=True)
class _Pairs:
    """The pairs of one layer that can saturate and lie at the same two places of its kernel.

    Each output has P of them, those that it lacks with weights of zero.

    Attributes:
        places: (row, column) of both inputs; empty of a linear layer.
        inputs: int64 [2, O · P]: channels, or columns of a linear layer.
        weights: float32 [2, O · P].
    """

    places: tuple[tuple[int, ...], tuple[int, ...]]
    inputs: np.ndarray
    weights: np.ndarray


def _saturating_pairs(weights: np.ndarray) -> Iterator[_Pairs]:
    """Find the pairs whose sum can leave 16 bits: two weights of one sign that are large together."""
    kernel, channels = weights.shape[1:-1], weights.shape[-1]
    flat = weights.reshape(len(weights), -1).astype(np.int32)
    flat = flat[:, : flat.shape[1] // 2 * 2]  # an odd one out is added alone
    first, second = flat[:, 0::2], flat[:, 1::2]
    sums = (first + second) * _LARGEST_INPUT
    outputs, pairs = np.nonzero(((sums > _HIGHEST) | (sums < _LOWEST)) & (first * second > 0))
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        groups[2 * pair // channels, (2 * pair + 1) // channels].append(number)
    for (place, next_place), numbers in groups.items():
        chosen, owners = pairs[numbers], outputs[numbers]  # owners in ascending order
        slots = np.arange(len(owners)) - np.searchsorted(owners, owners)  # which of its owner's pairs
        inputs = np.zeros((2, len(weights), slots.max() + 1), np.int64)
        inputs[:, owners, slots] = np.stack([2 * chosen % channels, (2 * chosen + 1) % channels])
        values = np.zeros(inputs.shape, np.float32)
        values[:, owners, slots] = np.stack([first[owners, chosen], second[owners, chosen]])
        places = _position(place, kernel), _position(next_place, kernel)
        yield _Pairs(places, inputs.reshape(2, -1), values.reshape(2, -1))


def _position(place: int, kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(each) for each in np.unravel_index(place, kernel)) if kernel else ()


def _check_known(node: onnx.NodeProto, layer: _Layer) -> None:
    """Refuse to guess how a layer saturates.

    Raises:
        UsageError: no kernel for it is known here.
    """
    usual = {"group": 1, "auto_pad": b"NOTSET", "alpha": 1.0, "transA": 0}
    unusual = [
        f"{name} {attribute(node, name, value)}"
        for name, value in usual.items()
        if attribute(node, name, value) != value
    ]
    if layer.zero_point.dtype != np.uint8:
        unusual.append("signed activations")
    if unusual:
        raise UsageError(f"it is not known how {node.name} saturates, with {', '.join(unusual)}: run it there")


class _Reader:
    """Finds the layers of a graph that engines run in INT8."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._constants = {initializer.name: initializer for initializer in graph.initializer}
        self._dequantize = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
        self._readers = readers_of(graph)
        self._outputs = {output.name for output in graph.output}
        self._shapes = {
            info.name: tuple(dimension.dim_value for dimension in info.type.tensor_type.shape.dim)
            for info in (*graph.value_info, *graph.output)
        }

    def layer(self, node: onnx.NodeProto) -> _Layer | None:
        """Return what a node multiplies; None where it does not multiply integers."""
        if node.op_type not in ("Conv", "Gemm"):
            return None
        data, weight = (self._dequantize.get(name) for name in node.input[:2])
        if data is None or weight is None or not self._constants.keys() >= {*data.input[1:], *weight.input}:
            return None
        if node.op_type == "Conv" and not self._is_quantized(node.output[0]):
            return None  # it runs in float
        integers = self._value(weight.input[0])
        if node.op_type == "Conv":
            integers = integers.transpose(0, *range(2, integers.ndim), 1)
        elif not attribute(node, "transB", 0):
            integers = integers.T
        return _Layer(
            data.input[0],
            self._value(data.input[2]) if len(data.input) > 2 else np.zeros((), np.uint8),
            integers,
            (self._value(data.input[1]).astype(np.float64) * self._value(weight.input[1])).astype(np.float32),
            self._shapes[node.output[0]][2:],
        )

    def _is_quantized(self, name: str) -> bool:
        """Whether a tensor, or the ReLU that alone reads it, goes into a QuantizeLinear and nowhere else."""
        readers = self._readers.get(name, [])
        if name in self._outputs or len(readers) != 1:
            return False
        if readers[0].op_type == "Relu":
            return self._is_quantized(readers[0].output[0])
        return readers[0].op_type == "QuantizeLinear"

    def _value(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name])


class _Loss:
    """Builds the nodes that compute what saturation takes from a layer's sums."""

    def __init__(self, node: onnx.NodeProto, layer: _Layer) -> None:
        self._node = node
        self._layer = layer
        self._column = (-1, 1, 1) if node.op_type == "Conv" else (-1,)
        self._prefix = f"{node.output[0]}/loss"
        self._count = 0
        self.constants: list[onnx.TensorProto] = []

    def nodes(self, groups: list[_Pairs]) -> list[onnx.NodeProto]:
        """Return the nodes that compute the loss."""
        nodes = [self._make("Cast", [self._layer.quantized], to=TensorProto.FLOAT)]
        pads = attribute(self._node, "pads", [0, 0, 0, 0])
        if any(pads):
            padding = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
            filling = self._layer.zero_point.astype(np.float32)  # a padded zero is this integer
            nodes.append(self._make("Pad", [nodes[-1].output[0], self._constant(padding), self._constant(filling)]))
        integers = nodes[-1].output[0]
        losses = []
        for group in groups:
            nodes += self._group(integers, group)
            losses.append(nodes[-1].output[0])
        nodes.append(self._make("Sum", losses))
        steps = self._constant(self._layer.steps.reshape(self._column))
        return [*nodes, helper.make_node("Mul", [nodes[-1].output[0], steps], [self._prefix], self._prefix)]

    def taken_from(self, exact: str) -> onnx.NodeProto:
        """Return the node that gives the layer's output."""
        return helper.make_node("Sub", [exact, self._prefix], [self._node.output[0]], f"{self._node.name}/saturated")

    def _group(self, integers: str, group: _Pairs) -> list[onnx.NodeProto]:
        """Compute what the pairs of one place lose, summed up for each output."""
        signs = np.sign(group.weights[0])
        nodes = []
        products = []
        for place, inputs, weights in zip(group.places, group.inputs, group.weights, strict=True):
            seen = integers
            if place:
                nodes.append(self._window(integers, place))
                seen = nodes[-1].output[0]
            nodes.append(self._make("Gather", [seen, self._constant(inputs)], axis=1))
            # By its size: both weights of a pair have one sign.
            nodes.append(self._make("Mul", [nodes[-1].output[0], self._in_column(np.abs(weights))]))
            products.append(nodes[-1].output[0])
        nodes.append(self._make("Add", products))
        limits = np.where(signs >= 0, _HIGHEST, -_LOWEST).astype(np.float32)
        nodes.append(self._make("Sub", [nodes[-1].output[0], self._in_column(limits)]))
        nodes.append(self._make("Relu", [nodes[-1].output[0]]))
        nodes.append(self._make("Mul", [nodes[-1].output[0], self._in_column(signs)]))
        of_each_output = [0, len(self._layer.steps), -1, *self._layer.output_shape]
        nodes.append(self._make("Reshape", [nodes[-1].output[0], self._constant(np.array(of_each_output, np.int64))]))
        axis = self._constant(np.array([2], np.int64))
        nodes.append(self._make("ReduceSum", [nodes[-1].output[0], axis], keepdims=0))
        return nodes

    def _window(self, integers: str, place: tuple[int, ...]) -> onnx.NodeProto:
        """Take what lies under one place of the kernel, for every output of a convolution."""
        strides, dilations = (attribute(self._node, name, [1, 1]) for name in ("strides", "dilations"))
        starts = [at * dilation for at, dilation in zip(place, dilations, strict=True)]
        ends = [
            start + (size - 1) * stride + 1
            for start, size, stride in zip(starts, self._layer.output_shape, strides, strict=True)
        ]
        numbers = (starts, ends, [2, 3], strides)
        return self._make("Slice", [integers, *(self._constant(np.array(each, np.int64)) for each in numbers)])

    def _make(self, kind: str, inputs: list[str], **attributes: int) -> onnx.NodeProto:
        self._count += 1
        name = f"{self._prefix}/{self._count}"
        node = helper.make_node(kind, inputs, [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return node

    def _in_column(self, values: np.ndarray) -> str:
        """Store one value for each channel, or column of a linear layer."""
        return self._constant(values.reshape(self._column))

    def _constant(self, value: np.ndarray) -> str:
        name = f"{self._prefix}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name
