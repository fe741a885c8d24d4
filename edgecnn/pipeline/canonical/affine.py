"""Fold a scale and a shift after a layer into it: batch norms that an exporter wrote as Sub, Mul, Div and Add."""

import numpy as np
import onnx

from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.nodes import attribute, is_layer


def fold_affine(editor: GraphEditor) -> None:
    """Fold each constant with one value per channel that is multiplied with, or added to, the output of a layer.

    A layer without a bias gets zeros, which bias correction can change.
    """
    for node in list(editor.graph.node):
        if not is_layer(node, editor.initializers):
            continue
        if not "".join(node.input[2:]):
            zeros = np.zeros(editor.initializers[node.input[1]].dims[0], np.float32)
            node.input[:] = [*node.input[:2], editor.add_constant(f"{node.input[1]}/bias", zeros)]
        follower = editor.only_reader(node.output[0])
        while follower is not None and _fold(editor, node, follower):
            follower = editor.only_reader(node.output[0])


def _fold(editor: GraphEditor, node: onnx.NodeProto, follower: onnx.NodeProto) -> bool:
    """Fold one operator; return whether it was possible."""
    affine, weights, bias = _affine(editor, node, follower), *(editor.constant(name) for name in node.input[1:])
    if affine is None or weights is None or bias is None:
        return False
    scale, shift = affine
    column = scale.reshape(-1, *[1] * (weights.ndim - 1))
    values = (weights * column, bias * scale + shift)
    for position, value in enumerate(values, start=1):
        node.input[position] = editor.add_constant(node.input[position], value.astype(np.float32))
    editor.take_output(node, follower)
    return True


def _affine(
    editor: GraphEditor, node: onnx.NodeProto, follower: onnx.NodeProto
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and shift of an operator for each output of a layer, float64 [O]; None if it is another operator."""
    if follower.op_type not in ("Add", "Sub", "Mul", "Div", "BatchNormalization"):
        return None
    outputs = editor.initializers[node.input[1]].dims[0]
    ones, zeros = np.ones(outputs), np.zeros(outputs)
    if follower.op_type == "BatchNormalization":
        values = [editor.constant(name) for name in follower.input[1:5]]
        if any(value is None for value in values) or len(follower.output) > 1:
            return None
        gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
        scale = gamma / np.sqrt(variance + attribute(follower, "epsilon", 1e-5))
        return scale, beta - mean * scale
    is_first = follower.input[0] == node.output[0]
    value = _per_channel(editor, follower.input[1 if is_first else 0], node.op_type, outputs)
    if value is None or follower.input[0] == follower.input[1]:
        return None
    if follower.op_type == "Add":
        return ones, value
    if follower.op_type == "Mul":
        return value * ones, zeros
    if follower.op_type == "Sub":
        return (ones, -value) if is_first else (-ones, value)
    return (1 / value * ones, zeros) if is_first and np.all(value) else None


def _per_channel(editor: GraphEditor, name: str, kind: str, outputs: int) -> np.ndarray | None:
    """Return a constant as float64 [O] if it has one value, or one per output channel."""
    value = editor.constant(name)
    if value is None or value.dtype != np.float32:
        return None
    if value.size == 1 and value.ndim <= (4 if kind == "Conv" else 2):
        return np.full(outputs, value.item(), np.float64)
    padded = value.reshape([1] * (4 - value.ndim) + list(value.shape)) if kind == "Conv" and value.ndim <= 4 else value
    wanted = (1, outputs, 1, 1) if kind == "Conv" else (outputs,)
    if padded.shape != wanted and not (kind == "Gemm" and padded.shape == (1, outputs)):
        return None
    return padded.reshape(-1).astype(np.float64)
