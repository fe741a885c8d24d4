"""Checks that a graph can be quantized. Each error is one line with the node's name and the solution."""

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edgecnn.errors import UnsupportedOperator

OLDEST_OPSET = 7
_DOMAINS = ("", "ai.onnx")
_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}
    | {"QLinearConv", "QLinearMatMul"}
)
OTHER_FLOATS = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}


def check_source(model: onnx.ModelProto) -> None:
    """Check a graph before it is rewritten: see `check_contents`, and its input and output.

    Raises:
        UnsupportedOperator: the graph cannot be quantized.
    """
    check_contents(model)
    _check_ends(model.graph)


def check_contents(model: onnx.ModelProto) -> None:
    """Check a graph's opset, the domains of its operators, and where its weights are.

    Raises:
        UnsupportedOperator: edgecnn cannot take the graph.
    """
    opsets = [each.version for each in model.opset_import if each.domain in _DOMAINS]
    if not opsets or not OLDEST_OPSET <= opsets[0] <= onnx.defs.onnx_opset_version():
        raise UnsupportedOperator(
            f"the graph has the opset {opsets[0] if opsets else 'of no standard domain'}, expected {OLDEST_OPSET} to "
            f"{onnx.defs.onnx_opset_version()}: export the network again"
        )
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise UnsupportedOperator(
                f"the weights {tensor.name!r} are in another file: embed them with onnx.load and onnx.save"
            )
    if model.graph.sparse_initializer:
        raise UnsupportedOperator("the graph has sparse weights: export the network with dense weights")
    local = {(function.domain, function.name) for function in model.functions}
    for node in all_nodes(model):
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in local:
            raise UnsupportedOperator(
                f"{called(node)} is an operator of the domain {node.domain!r}, expected standard ONNX operators only"
            )
        if node.domain in _DOMAINS and not onnx.defs.has(node.op_type, opsets[0]):
            raise UnsupportedOperator(f"{called(node)} is not an operator of ONNX's opset {opsets[0]}")
        if node.op_type in _QUANTIZED:
            raise UnsupportedOperator(f"{called(node)}: the graph is quantized already; take the float model")


def check_operators(model: onnx.ModelProto) -> None:
    """Check a simplified graph: its control flow and its float types.

    Raises:
        UnsupportedOperator: the graph cannot be quantized.
    """
    for node in model.graph.node:
        if any(each.type in (each.GRAPH, each.GRAPHS) for each in node.attribute):
            raise UnsupportedOperator(
                f"{called(node)} is control flow: export the network without conditions and loops that depend on data"
            )
    for tensor in model.graph.initializer:
        if tensor.data_type in OTHER_FLOATS:
            raise UnsupportedOperator(
                f"the weights {tensor.name!r} are {OTHER_FLOATS[tensor.data_type]}, expected float32: "
                f"export the network in float32"
            )


def _check_ends(graph: onnx.GraphProto) -> None:
    constants = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise UnsupportedOperator(
            f"the graph has {len(inputs)} inputs and {len(graph.output)} outputs, expected one image and its logits"
        )
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.UINT8 or len(kind.shape.dim) != 4:
        name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise UnsupportedOperator(
            f"the input {inputs[0].name!r} is {name} with {len(kind.shape.dim)} dimensions, "
            f"expected uint8 [N, H, W, C]: export or import the network with edgecnn"
        )


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes of a model, also those of its functions and of nested graphs."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for each in node.attribute:
            waiting += [*each.g.node, *(inner for graph in each.graphs for inner in graph.node)]


def called(node: onnx.NodeProto) -> str:
    """Return the name and operator of a node, for messages."""
    name = node.name or "".join(node.output[:1]) or "a node"
    return " ".join(part if part.isprintable() else repr(part) for part in (name, f"({node.op_type})"))
