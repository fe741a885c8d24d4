"""Prove how large the 8-bit weights of an ONNX graph are, from the file alone: a device has no ONNX package.

Every 8-bit tensor counts, whatever it is for. A graph that computes 8-bit numbers from other constants is refused:
nothing is proven of those.
"""

from pathlib import Path

import numpy as np

from edgecnn.bundle.graph import Node, Tensor, read_graph
from edgecnn.errors import BundleError, WeightBeyondRange

_UINT8, _INT8, _KINDS = 2, 3, 64  # TensorProto.DataType; there are fewer kinds
_MAKES_8_BITS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "Cast", "CastLike", "BitCast"})


def check_weights(model: np.ndarray, limit: int, *, path: Path) -> None:
    """Check that no 8-bit weight of a graph, the uint8 [B] of an ONNX file, has a larger magnitude than `limit`.

    Raises:
        WeightBeyondRange: one is larger, or its size cannot be proven.
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
        if constants.issuperset(filter(None, node.inputs)):
            if node.operator in _MAKES_8_BITS:
                made = ", ".join(node.outputs)
                raise WeightBeyondRange(
                    f"{path}: nothing is proven of the weights {made}, which are computed: quantize anew"
                )
            constants.update(node.outputs)


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
