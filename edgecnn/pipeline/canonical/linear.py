"""One form of linear layers: Gemm with transB = 1, without factors, and with a bias of one value per output."""

import numpy as np
import onnx
from onnx import helper

from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.nodes import attribute


def unify_linear_layers(editor: GraphEditor) -> None:
    """Rewrite Gemm, and MatMul with constant weights and the Add after it. Computed weights stay as they are."""
    for node in list(editor.graph.node):
        if node.op_type == "Gemm":
            _unify_gemm(editor, node)
        elif node.op_type == "MatMul":
            _unify_matmul(editor, node)


def _unify_gemm(editor: GraphEditor, node: onnx.NodeProto) -> None:
    weights = editor.constant(node.input[1])
    bias = editor.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros((), np.float32)
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    transposed = attribute(node, "transB", 0)
    if weights is None or bias is None or attribute(node, "transA", 0):
        return
    outputs = weights.shape[0 if transposed else 1]
    if bias.ndim > 1 and bias.shape[0] != 1:
        return  # another bias for each image
    usual = transposed and alpha == 1 and (beta == 1 or not bias.ndim) and bias.ndim < 2
    if usual and (bias.shape == (outputs,) or len(node.input) < 3):
        return
    matrix = np.float32(alpha) * (weights if transposed else weights.T)
    offset = np.broadcast_to(np.float32(beta) * bias.reshape(-1), (outputs,)) if len(node.input) > 2 else None
    editor.replace(node, [_gemm(editor, node, (node.input[0], node.output[0]), matrix, offset)])


def _unify_matmul(editor: GraphEditor, node: onnx.NodeProto) -> None:
    """Rewrite a product with a constant matrix, and the bias after it."""
    weights, shape = editor.constant(node.input[1]), editor.shape(node.input[0])
    if weights is None or weights.ndim != 2 or weights.dtype != np.float32 or shape is None or len(shape) < 2:
        return
    if len(shape) > 2 and None in shape[1:]:
        return
    output = node.output[0]
    follower, bias = editor.only_reader(output), None
    if follower is not None and follower.op_type == "Add":
        bias = _bias(editor, follower, output, weights.shape[1])
    if follower is not None and bias is not None:
        output = follower.output[0]
        editor.graph.node.remove(follower)
    matrix = np.ascontiguousarray(weights.T)
    if len(shape) == 2:
        editor.replace(node, [_gemm(editor, node, (node.input[0], output), matrix, bias)])
        return
    # With more than two dimensions, the layer runs on a matrix of rows.
    rows, product = editor.unique(f"{node.output[0]}/rows"), editor.unique(f"{node.output[0]}/product")
    flat = editor.add_constant(f"{rows}/shape", np.array([-1, len(weights)], np.int64))
    full = editor.add_constant(f"{product}/shape", np.array([-1, *shape[1:-1], len(matrix)], np.int64))
    before = helper.make_node("Reshape", [node.input[0], flat], [rows], f"{node.name}/rows")
    after = helper.make_node("Reshape", [product, full], [output], f"{node.name}/full")
    editor.replace(node, [before, _gemm(editor, node, (rows, product), matrix, bias), after])


def _bias(editor: GraphEditor, add: onnx.NodeProto, product: str, outputs: int) -> np.ndarray | None:
    """Return the constant that an Add adds to each output of a product, float32 [O]; None if it adds something else."""
    values = next((editor.constant(name) for name in add.input if name != product), None)
    if values is None or values.size not in (1, outputs) or values.size != max(values.shape[-1:], default=1):
        return None
    return np.broadcast_to(values.reshape(-1), (outputs,))


def _gemm(
    editor: GraphEditor, node: onnx.NodeProto, ends: tuple[str, str], matrix: np.ndarray, bias: np.ndarray | None
) -> onnx.NodeProto:
    """Return a Gemm from `ends[0]` to `ends[1]` with the weights [outputs, inputs] and the name of a node."""
    inputs = [ends[0], editor.add_constant(node.input[1], matrix)]
    if bias is not None:
        inputs.append(editor.add_constant(f"{inputs[1]}/bias", bias.astype(np.float32)))
    return helper.make_node("Gemm", inputs, ends[1:], node.name, transB=1)
