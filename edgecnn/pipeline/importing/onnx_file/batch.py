"""Free the batch of a graph that was exported for a fixed number of images."""

import numpy as np
import onnx

from edgecnn.pipeline.canonical.editing import GraphEditor, set_attribute
from edgecnn.pipeline.canonical.nodes import attribute


def free_batch(model: onnx.ModelProto, batch: int) -> None:
    """Let each Reshape of a graph, in place, keep the number of images instead of a constant.

    The first size of a constant target becomes -1, or 0 (the size of the input) if another size is -1 already. Whether
    the result is right is seen when it runs with another number of images.

    Args:
        model: takes `batch` images.
        batch: the number of images for which the graph was exported.
    """
    editor = GraphEditor(model)
    reached = {each.name for each in model.graph.input}
    for node in model.graph.node:
        if reached.isdisjoint(node.input):
            continue
        reached.update(node.output)
        if node.op_type != "Reshape" or node.input[0] not in reached:
            continue
        target = _value(editor, node.input[1])
        if target is None or target.ndim != 1 or target.size == 0 or target[0] <= 0 or target[0] % batch:
            continue
        if attribute(node, "allowzero", 0) and 0 in target:
            continue  # an empty tensor
        set_attribute(node, "allowzero", None)
        freed = target.copy()
        if -1 not in target:
            freed[0] = -1
        elif target[0] == batch:
            freed[0] = 0
        node.input[1] = editor.add_constant(f"{node.input[1]}_free", freed)


def _value(editor: GraphEditor, name: str) -> np.ndarray | None:
    """Return a constant, also if a Constant node makes it; None if the tensor is not constant."""
    maker = editor.makers.get(name)
    if maker is not None and maker.op_type == "Identity":
        return _value(editor, maker.input[0]) if maker.input[0] != name else None
    if maker is not None and maker.op_type == "Constant":
        found = attribute(maker, "value", None)
        return onnx.numpy_helper.to_array(found) if found is not None else _ints(maker)
    return editor.constant(name)


def _ints(node: onnx.NodeProto) -> np.ndarray | None:
    found = attribute(node, "value_ints", None)
    return None if found is None else np.array(found, np.int64)
