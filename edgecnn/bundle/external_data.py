"""Refuse a graph that would make an engine open another file: a bundle's graph contains all of its data.

An engine opens any place that a graph names: a path outside the folder, a pipe that never ends, or an address in its
own memory. So any such name is refused, whatever it is.
"""

from pathlib import Path

import numpy as np

from edgecnn.bundle.graph import Node, Tensor, read_graph
from edgecnn.errors import BundleError, ExternalData

_COMPILED_ELSEWHERE = "EPContext"
"""ONNX Runtime's operator for a graph that a device's own compiler has written, into a file that the node names."""

_REMEDY = "a bundle is one graph in one file; export anew"
_LONGEST_NAME = 100


def check_no_external_data(model: np.ndarray, *, path: Path) -> None:
    """Check that a graph, the uint8 [B] of an ONNX file, refers to no other file; `path` is for messages.

    Raises:
        ExternalData: a tensor's data, or a node's graph, is in another file.
        BundleError: the bytes are no graph.
    """
    try:
        for part in read_graph(model):
            if isinstance(part, Tensor) and part.external:
                raise ExternalData(f"{path}: the data of {_named(part)} is said to be in another file: {_REMEDY}")
            if isinstance(part, Node) and part.operator == _COMPILED_ELSEWHERE:
                raise ExternalData(f"{path}: {_made_by(part)} is compiled for a device, maybe elsewhere: {_REMEDY}")
    except ValueError:
        raise BundleError(f"{path} is no ONNX graph: export and quantize anew") from None


def _named(tensor: Tensor) -> str:
    """Name a tensor, or the node that an unnamed one belongs to."""
    if tensor.name or tensor.owner is None:
        return f"the tensor {tensor.name[:_LONGEST_NAME]!r}"
    return f"a constant of {_made_by(tensor.owner)}"


def _made_by(node: Node) -> str:
    """Name a node by what it computes."""
    made = ", ".join(node.outputs)[:_LONGEST_NAME]
    return f"the {node.operator[:_LONGEST_NAME]!r} that computes {made!r}"
