"""Reject graphs with external data: a bundle's graph must contain all of its data.

An engine opens any location that a graph names: a path outside the bundle, an endless pipe, or an address in its
memory. So every external location is rejected.
"""

from pathlib import Path

import numpy as np

from edgecnn.bundle.graph import Node, Tensor, read_graph
from edgecnn.errors import BundleError, ExternalData

_COMPILED_ELSEWHERE = "EPContext"
"""ONNX Runtime's operator for a graph compiled by a device's compiler, stored in a file that the node names."""

_REMEDY = "a bundle stores its graph in one file; export again"
_LONGEST_NAME = 100


def check_no_external_data(model: np.ndarray, *, path: Path) -> None:
    """Check that a graph, the uint8 [B] of an ONNX file, refers to no other file. `path` is used in messages.

    Raises:
        ExternalData: a tensor's data, or a node's graph, is in another file.
        BundleError: the bytes are not a graph.
    """
    try:
        for part in read_graph(model):
            if isinstance(part, Tensor) and part.external:
                raise ExternalData(f"{path}: the data of {_named(part)} refers to another file: {_REMEDY}")
            if isinstance(part, Node) and part.operator == _COMPILED_ELSEWHERE:
                raise ExternalData(f"{path}: {_made_by(part)} is compiled and may use another file: {_REMEDY}")
    except ValueError:
        raise BundleError(f"{path} is not an ONNX graph: export and quantize again") from None


def _named(tensor: Tensor) -> str:
    """Return a tensor's name for a message, or its node's if it has none."""
    if tensor.name or tensor.owner is None:
        return f"the tensor {tensor.name[:_LONGEST_NAME]!r}"
    return f"a constant of {_made_by(tensor.owner)}"


def _made_by(node: Node) -> str:
    """Return a node's operator and outputs for a message."""
    made = ", ".join(node.outputs)[:_LONGEST_NAME]
    return f"the {node.operator[:_LONGEST_NAME]!r} that computes {made!r}"
