"""Nodes of a graph: their attributes, their readers, and the layers among them."""

from collections.abc import Collection, Mapping
from typing import Any

import onnx
from onnx import helper

from edgecnn.bundle.four_bits import OPERATOR

_LAYERS = frozenset({"Conv", "Gemm"})


def numbered(name: str, taken: Collection[str]) -> str:
    """Return a name, with a number if it is taken."""
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def module_of(node: onnx.NodeProto) -> str:
    """Return the PyTorch module of a node; empty if it comes from a function."""
    return node.name.rpartition("/")[0]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or the default."""
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def is_layer(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Return whether a node is a 2-D convolution or a linear layer with constant float32 weights, in canonical form."""
    if node.op_type not in _LAYERS or not all(name in constants for name in node.input[1:] if name):
        return False
    weights = constants[node.input[1]]
    if weights.data_type != onnx.TensorProto.FLOAT:
        return False
    if node.op_type == "Conv":
        return len(weights.dims) == 4
    return bool(attribute(node, "transB", 0)) and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0


def readers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Return a map from each tensor to the nodes that read it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def makers_of(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return a map from each tensor to the node that produces it."""
    return {output: node for node in graph.node for output in node.output}


def bias_sums(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return a map from each product with weights in 4 bits to the node that adds the layer's bias."""
    constants = {initializer.name for initializer in graph.initializer}
    products = {node.output[0] for node in graph.node if node.op_type == OPERATOR}
    return {
        node.input[0]: node
        for node in graph.node
        if node.op_type == "Add" and node.input[0] in products and node.input[1] in constants
    }


def is_silu(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> bool:
    """Return whether a node multiplies a tensor with its own sigmoid: SiLU, as exporters write it."""
    factors = [makers.get(name) for name in node.input]
    return node.op_type == "Mul" and any(
        factor is not None and factor.op_type == "Sigmoid" and factor.input[0] in node.input for factor in factors
    )
