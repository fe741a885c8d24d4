"""Check the magnitude of the 8-bit weights of an ONNX graph, without the ONNX package.

Every 8-bit tensor is checked. A graph that computes 8-bit numbers from constants is rejected, because their range is
unknown. `packed_weights` checks 4-bit weights, which are stored in 8-bit tensors.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from edgecnn.bundle.graph import Node, Tensor, read_graph
from edgecnn.bundle.packed_weights import check_packed
from edgecnn.errors import BundleError, WeightBeyondRange

_UINT8, _INT8, _KINDS = 2, 3, 64  # TensorProto.DataType, and an upper bound of its values
_MAKES_8_BITS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "Cast", "CastLike", "BitCast"})


def check_weights(model: np.ndarray, limit: int, *, four_bits: Collection[str] = (), path: Path) -> None:
    """Check that no 8-bit weight of a graph, the uint8 [B] of an ONNX file, has a larger magnitude than `limit`.

    `four_bits` are the names of the 4-bit weights in the manifest.

    Raises:
        WeightBeyondRange: a weight is larger, or its range is unknown.
        ManifestError: the 4-bit weights of the graph are not those of the manifest.
        BundleError: the bytes are not a graph.
    """
    try:
        parts = list(read_graph(model))
    except ValueError:
        raise BundleError(f"{path} is not an ONNX graph: export and quantize again") from None
    packed = check_packed(parts, four_bits, path=path)
    constants: set[str] = set()  # of all graphs in the file; a name clash can only cause a rejection
    for part in parts:
        if isinstance(part, Tensor):
            if part.name not in packed:
                _check_tensor(part, limit, path)
            constants.add(part.name)
    for node in parts:
        if isinstance(node, Node) and constants.issuperset(filter(None, node.inputs)):
            if node.operator in _MAKES_8_BITS:
                made = ", ".join(node.outputs)
                raise WeightBeyondRange(f"{path}: the range of the computed weights {made} is unknown: quantize again")
            constants.update(node.outputs)


def _check_tensor(tensor: Tensor, limit: int, path: Path) -> None:
    if not 0 < tensor.data_type < _KINDS:  # also a tensor in parts, which a parser would merge
        raise WeightBeyondRange(f"{path}: the type of the weights {tensor.name!r} is unknown: quantize again")
    if tensor.data_type not in (_INT8, _UINT8):
        return
    if tensor.raw is None or tensor.external or (tensor.data_type == _UINT8 and len(tensor.raw) > 1):
        # A single unsigned number is the zero point of an activation.
        raise WeightBeyondRange(f"{path}: the range of the 8-bit weights {tensor.name!r} is unknown: quantize again")
    if tensor.data_type == _INT8:
        integers = np.asarray(tensor.raw).view(np.int8)
        largest = max(-int(integers.min(initial=0)), int(integers.max(initial=0)))
        if largest > limit:
            found = f"the weights {tensor.name!r} reach {largest}, the manifest claims at most {limit}"
            raise WeightBeyondRange(f"{path}: {found}: quantize again")
