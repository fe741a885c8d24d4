"""Prove how large the 8-bit weights of an ONNX graph are, from the file alone: a device has no ONNX package.

Does not know what a tensor is for: every 8-bit one counts, and a graph that makes 8-bit numbers out of other constants
is refused, since nothing is proven of those.
"""

from pathlib import Path

import numpy as np

from edgecnn.bundle.graph import Node, Tensor, read_graph
from edgecnn.errors import BundleError, WeightBeyondRange

_UINT8, _INT8, _KINDS = 2, 3, 64  # TensorProto.DataType; there are fewer kinds
_MAKES_8_BITS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "Cast", "CastLike", "BitCast"})


def check_weights(model: np.ndarray, limit: int, *, path: Path) -> None:
    """Prove that no 8-bit weight of a graph is larger than its bundle claims.

    Args:
        model: uint8 [B], the bytes of the ONNX file.
        limit: the largest magnitude that is claimed.
        path: the file, for messages.

    Raises:
        WeightBeyondRange: one is larger, or comes to be so that nothing can be said of it.
        BundleError: the bytes are no graph.
    """
    constants: set[str] = set()  # names, of every graph in the file: one too many is at worst a refusal
    nodes: list[Node] = []
    try:
        for part in read_graph(model):
            if isinstance(part, Tensor):
                _check_tensor(part, limit, path)
                constants.add(part.name)
            else:
                nodes.append(part)
    except ValueError:
        raise BundleError(f"{path} is no ONNX graph: export and quantize anew") from None
    for node in nodes:
        _check_node(node, constants, path)


def _check_tensor(tensor: Tensor, limit: int, path: Path) -> None:
    if not 0 < tensor.data_type < _KINDS:  # also where one is written in parts, which a reader would put together
        raise WeightBeyondRange(f"{path}: nothing is proven of {tensor.name!r}, whose type is unknown: quantize anew")
    if tensor.data_type not in (_INT8, _UINT8):
        return
    if tensor.raw is None or tensor.external or (tensor.data_type == _UINT8 and len(tensor.raw) > 1):
        # One unsigned number is the zero point of an activation.
        raise WeightBeyondRange(f"{path}: nothing is proven of the 8-bit weights {tensor.name!r}: quantize anew")
    if tensor.data_type == _INT8:
        integers = np.asarray(tensor.raw).view(np.int8)
        largest = max(-int(integers.min(initial=0)), int(integers.max(initial=0)))
        if largest > limit:
            found = f"the weights {tensor.name!r} reach {largest}, the manifest claims at most {limit}"
            raise WeightBeyondRange(f"{path}: {found}: quantize anew")


def _check_node(node: Node, constants: set[str], path: Path) -> None:
    """Refuse a node that makes 8-bit numbers out of constants; note what else comes of constants alone."""
    if not constants.issuperset(filter(None, node.inputs)):
        return
    if node.operator in _MAKES_8_BITS:
        raise WeightBeyondRange(
            f"{path}: nothing is proven of the weights {', '.join(node.outputs)}, which are computed: quantize anew"
        )
    constants.update(node.outputs)
