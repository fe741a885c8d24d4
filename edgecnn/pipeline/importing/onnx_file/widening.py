"""Convert float16, bfloat16 and float64 to float32 in a whole graph."""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from edgecnn.pipeline.canonical.support import OTHER_FLOATS

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type")


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose weights, casts, inputs and outputs are float32 instead of another float type."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _graph(result.graph)
    for function in result.functions:
        _nodes(function.node)
    return result


def _graph(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _tensor(tensor)
    for info in (*graph.input, *graph.output, *graph.value_info):
        kind = info.type.tensor_type
        if kind.elem_type in OTHER_FLOATS:
            kind.elem_type = TensorProto.FLOAT
    _nodes(graph.node)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        for each in node.attribute:
            _attribute(each)


def _attribute(attribute: AttributeProto) -> None:
    if attribute.type == AttributeProto.INT and attribute.name in _TYPE_ATTRIBUTES and attribute.i in OTHER_FLOATS:
        attribute.i = TensorProto.FLOAT
    if attribute.HasField("t"):
        _tensor(attribute.t)
    for tensor in attribute.tensors:
        _tensor(tensor)
    for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
        _graph(graph)


def _tensor(tensor: TensorProto) -> None:
    if tensor.data_type in OTHER_FLOATS:
        with np.errstate(over="ignore"):  # an infinity in float32 stays visible: the logits are not finite
            values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
