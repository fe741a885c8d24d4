"""Predict the logits of an INT8 graph on a CPU that adds pairs of products in 16 bits.

Without VNNI, AVX2 and AVX-512 multiply uint8 by int8 and add two neighbouring products in a 16-bit register that
saturates (`vpmaddubsw`). The simulated graph subtracts the loss from each layer's sums. Its float operators are exact
for integers of this size, so any engine can run it.

The pairing follows ONNX Runtime's U8S8 kernels (MLAS): the inputs of a sum are numbered by kernel row, kernel column
and channel of the group, and number 2i is added to number 2i + 1. Other pairings saturate at other values, about
equally often. A depthwise convolution does not saturate: its kernel adds each product in 32 bits.
"""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgecnn.errors import BundleError, UsageError
from edgecnn.pipeline.canonical.nodes import attribute, readers_of
from edgecnn.pipeline.quantization.saturation_loss import IntegerLayer, Loss, saturating_pairs
from edgecnn.pipeline.quantization.trial import open_trial
from edgecnn.runtime.engines.engine import deliver

PAIRING = "ONNX Runtime's AVX2 kernels, which by default add the products of neighbouring channels in 16 bits"

_BATCH = 4  # small, because pairs need extra memory


class SimulatedSession:
    """A graph as on a CPU with saturation, computed by ONNX Runtime in float."""

    instances = 1

    def __init__(self, model: onnx.ModelProto) -> None:
        """Rewrite an INT8 graph with `saturated` and load it."""
        self._session = open_trial(saturated(model))
        self.info = dataclasses.replace(self._session.info, engine="simulated-avx2")

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        starts = range(0, len(images), _BATCH)
        logits = [self._session.run(images[start : start + _BATCH]) for start in starts]
        return deliver(np.concatenate(logits), out)

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()


def simulate(path: Path) -> SimulatedSession:
    """Open an INT8 graph from a file.

    Raises:
        BundleError: the file is not a valid graph.
        UsageError: see `saturated`.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the exceptions of protobuf and onnx have no common base class
        raise BundleError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    return SimulatedSession(model)


def saturated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph with saturating sums. `model`, an INT8 graph in QDQ form, is not modified.

    Raises:
        UsageError: the kernel of a layer that could saturate is not supported.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    reader = _LayerFinder(inferred.graph)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for node in inferred.graph.node:
        layer = reader.layer(node)
        pairs = [] if layer is None else list(saturating_pairs(layer))
        if layer is None or not pairs:
            nodes.append(node)
            continue
        _check_known(node, layer)
        exact = copy.deepcopy(node)
        exact.output[0] = f"{node.output[0]}/exact"
        loss = Loss(node, layer)
        nodes += [exact, *loss.nodes(pairs, exact.output[0])]
        constants += loss.constants
    result = copy.deepcopy(model)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants)
    return result


def _check_known(node: onnx.NodeProto, layer: IntegerLayer) -> None:
    """Check that the kernel of a layer is supported."""
    usual = {"auto_pad": b"NOTSET", "alpha": 1.0, "transA": 0}
    found = {name: attribute(node, name, value) for name, value in usual.items()}
    unusual = [f"{name} {value}" for name, value in found.items() if value != usual[name]]
    if layer.zero_point.dtype != np.uint8:
        unusual.append("signed activations")
    if unusual:
        raise UsageError(
            f"cannot simulate the saturation of {node.name} with {', '.join(unusual)}: run it on the target processor"
        )


class _LayerFinder:
    """Finds the INT8 layers of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._constants = {initializer.name: initializer for initializer in graph.initializer}
        self._dequantize = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
        self._readers = readers_of(graph)
        self._outputs = {output.name for output in graph.output}
        self._shapes = {
            info.name: tuple(dimension.dim_value for dimension in info.type.tensor_type.shape.dim)
            for info in (*graph.value_info, *graph.output)
        }

    def layer(self, node: onnx.NodeProto) -> IntegerLayer | None:
        """Return the integer layer of a node; None if it does not add products of integers in pairs."""
        if node.op_type not in ("Conv", "Gemm"):
            return None
        data, weight = (self._dequantize.get(name) for name in node.input[:2])
        if data is None or weight is None or not self._constants.keys() >= {*data.input[1:], *weight.input}:
            return None
        if node.op_type == "Conv" and not self._is_quantized(node.output[0]):
            return None  # runs in float
        integers, groups = self._value(weight.input[0]), attribute(node, "group", 1)
        if node.op_type == "Conv":
            if integers.shape[:2] == (groups, 1):
                return None  # depthwise
            integers = integers.transpose(0, *range(2, integers.ndim), 1)
        elif not attribute(node, "transB", 0):
            integers = integers.T
        return IntegerLayer(
            data.input[0],
            self._value(data.input[2]) if len(data.input) > 2 else np.zeros((), np.uint8),
            integers,
            groups,
            (self._value(data.input[1]).astype(np.float64) * self._value(weight.input[1])).astype(np.float32),
            self._shapes[node.output[0]][2:],
        )

    def _is_quantized(self, name: str) -> bool:
        """Return whether the only reader of a tensor, directly or after a ReLU or ReLU6, is a QuantizeLinear."""
        readers = self._readers.get(name, [])
        if name in self._outputs or len(readers) != 1:
            return False
        if readers[0].op_type in ("Relu", "Clip"):
            return self._is_quantized(readers[0].output[0])
        return readers[0].op_type == "QuantizeLinear"

    def _value(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name])
