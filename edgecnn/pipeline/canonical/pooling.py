"""One form of global averages: GlobalAveragePool, also where PyTorch's exporter writes ReduceMean and a Gather."""

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.nodes import attribute

_BATCHES = (1, 2, 3)


def unify_averages(editor: GraphEditor) -> None:
    """Rewrite means over height and width that keep the dimensions, and remove Gathers that select every element."""
    for node in list(editor.graph.node):
        if node.op_type == "Gather":
            _remove_gather(editor, node)
        elif node.op_type == "ReduceMean" and _is_global_average(editor, node):
            editor.replace(node, [helper.make_node("GlobalAveragePool", [node.input[0]], [node.output[0]], node.name)])


def _is_global_average(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    shape, axes = editor.shape(node.input[0]), editor.constant(node.input[1]) if len(node.input) > 1 else None
    if shape is None or len(shape) != 4 or axes is None or not attribute(node, "keepdims", 1):
        return False
    return sorted(int(axis) % 4 for axis in axes.reshape(-1)) == [2, 3]


def _remove_gather(editor: GraphEditor, node: onnx.NodeProto) -> None:
    """Remove a Gather on flattened values whose indices are 0, 1, 2, … for every batch size.

    PyTorch's exporter writes one for each `AdaptiveAvgPool2d(1)`, from the strides of the result.
    """
    flat = editor.makers.get(node.input[0])
    if flat is None or flat.op_type != "Reshape" or len(editor.shape(node.output[0]) or ()) != 4:
        return
    source = editor.shape(flat.input[0])
    if source is None or None in source[1:]:
        return
    indices = _evaluate(editor, node.input[1])
    if indices is None:
        return
    for batch, found in zip(_BATCHES, indices, strict=True):
        if found.shape != (batch, *source[1:]) or not (found.reshape(-1) == np.arange(found.size)).all():
            return
    editor.bypass(node, flat.input[0])


def _evaluate(editor: GraphEditor, name: str) -> list[np.ndarray] | None:
    """Return the value of a tensor for several batch sizes; None if it depends on more than the image's shape."""
    nodes: list[onnx.NodeProto] = []
    waiting, constants = [name], []
    image = editor.graph.input[0]
    while waiting:
        current = waiting.pop()
        maker = editor.makers.get(current)
        if maker is not None:
            if maker not in nodes:
                nodes.append(maker)
                waiting += [] if maker.op_type == "Shape" and maker.input[0] == image.name else maker.input
        elif (value := editor.constant(current)) is not None:
            constants.append(onnx.numpy_helper.from_array(value, current))
        elif current:
            return None
    ordered = [node for node in editor.graph.node if node in nodes]
    output = onnx.ValueInfoProto(name=name)
    graph = helper.make_graph(ordered, "indices", [image], [output], constants)
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    sizes = [size or 1 for size in (editor.shape(image.name) or ())[1:]]
    images = (np.zeros((batch, *sizes), np.uint8) for batch in _BATCHES)
    return [np.asarray(*evaluator.run([name], {image.name: each})) for each in images]
