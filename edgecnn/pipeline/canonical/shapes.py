"""Infer the shapes of a graph's tensors without copying its weights."""

import math

import onnx
from onnx import helper

_SHAPE_ELEMENTS = 64
"""Constants with at most this number of elements can be shapes. Shape inference reads their values."""


def inferred_graph(model: onnx.ModelProto, *, batch: int | None = None) -> onnx.GraphProto:
    """Return the graph with the type and shape of each tensor in `value_info`. Weights are inputs of this graph.

    `batch` sets the number of images.

    Raises:
        onnx.shape_inference.InferenceError: the shapes contradict each other.
    """
    bare = _without_weights(model)
    if batch is not None:
        bare.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    return onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with large constants as inputs, because the inference copies the model several times."""
    result = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    result.graph.name = "shapes"
    result.graph.node.extend(model.graph.node)
    result.graph.input.extend(model.graph.input)
    result.graph.output.extend(model.graph.output)
    # The shapes of custom operators are not inferred.
    custom = {name for node in model.graph.node if node.domain for name in node.output}
    result.graph.value_info.extend(each for each in model.graph.value_info if each.name in custom)
    for each in model.graph.initializer:
        if math.prod(each.dims) <= _SHAPE_ELEMENTS:
            result.graph.initializer.append(each)
        else:
            result.graph.input.append(helper.make_tensor_value_info(each.name, each.data_type, each.dims))
    return result
