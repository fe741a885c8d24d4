"""Reject graphs with operators of other domains than ONNX's, and functions, which can redefine any operator.

An engine runs such an operator with code that edgecnn does not check. The only exception is the linear layer with
4-bit weights of an INT8 graph.
"""

from pathlib import Path

import numpy as np

from edgecnn.bundle.four_bits import DOMAIN, OPERATOR
from edgecnn.bundle.graph import STANDARD_DOMAINS, Node, Scope, read_graph
from edgecnn.errors import BundleError, ForeignOperator

_LONGEST_NAME = 100


def check_operators(model: np.ndarray, *, has_four_bits: bool, path: Path) -> None:
    """Check that a graph, the uint8 [B] of an ONNX file, has ONNX's operators only. `path` is used in messages.

    `has_four_bits` also allows `com.microsoft.MatMulNBits`, whose weights `check_weights` checks.

    Raises:
        ForeignOperator: the graph has another operator, or a function.
        BundleError: the bytes are not a graph.
    """
    try:
        for part in read_graph(model):
            if isinstance(part, Scope) and part.kind == "function":
                raise ForeignOperator(f"{path}: the graph defines a function, expected nodes only: export again")
            if isinstance(part, Node) and part.domain not in STANDARD_DOMAINS:
                _check_foreign(part, has_four_bits, path)
    except ValueError:
        raise BundleError(f"{path} is not an ONNX graph: export and quantize again") from None


def _check_foreign(node: Node, has_four_bits: bool, path: Path) -> None:
    operator = f"{node.operator[:_LONGEST_NAME]!r} of the domain {node.domain[:_LONGEST_NAME]!r}"
    if (node.domain, node.operator) != (DOMAIN, OPERATOR):
        raise ForeignOperator(f"{path}: the graph has the operator {operator}, expected ONNX's only: export again")
    if not has_four_bits:
        raise ForeignOperator(f"{path}: only an INT8 graph may have the operator {operator}: quantize again")
