"""Check the 4-bit weights of an ONNX graph: nodes `com.microsoft.MatMulNBits` with packed weights and zero points.

4-bit weights cannot saturate. A weight minus its zero point is within ±15, so two products with 8-bit activations are
within 2 · 255 · 15 = 7,650, and 16-bit sums end at 32,767. This holds only if the bytes are read as 4-bit integers.
Read as 8-bit integers by another node, they would be full-range weights. So every byte must belong to one such node,
and the graph must be flat: no branch or function may read it.

Sizes are checked here because engines do not: OpenVINO reads the weights by the attributes K and N, beyond their end
if there are fewer.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.four_bits import BLOCK, DOMAIN, OPERATOR, blocks_of
from edgecnn.bundle.graph import Node, Part, Scope, Tensor
from edgecnn.errors import ManifestError, WeightBeyondRange

_FLOAT, _UINT8 = 1, 2  # TensorProto.DataType
_BYTES = {_FLOAT: 4, _UINT8: 1}
_LEVEL = 4  # 8-bit activations
_ATTRIBUTES = {"bits": 4, "block_size": BLOCK, "accuracy_level": _LEVEL}
_SIZES = ("K", "N")
_LONGEST_TEXT = 200


def check_packed(parts: Sequence[Part], claimed: Collection[str], *, path: Path) -> frozenset[str]:
    """Check the 4-bit weights of a graph, and compare them with the manifest's.

    The weight `fc1.weight` is stored in an initializer `fc1.weight/…`.

    Args:
        parts: all parts of the graph.
        claimed: names of the 4-bit weights in the manifest.
        path: the ONNX file, for messages.

    Returns:
        The names of the uint8 initializers that contain packed weights and zero points.

    Raises:
        WeightBeyondRange: a node reads something else than 4-bit weights, or another node may read them.
        ManifestError: the manifest has other 4-bit weights.
    """
    nodes = [part for part in parts if isinstance(part, Node)]
    packed = [node for node in nodes if (node.domain, node.operator) == (DOMAIN, OPERATOR)]
    if packed and any(isinstance(part, Scope) for part in parts):
        raise WeightBeyondRange(
            f"{path}: the graph has 4-bit weights, and also a nested graph or a function that may read them: "
            f"quantize again"
        )
    names = _Names(nodes, [part for part in parts if isinstance(part, Tensor)])
    for node in packed:
        problem = _problem(node, names)
        if problem is not None:
            made = ", ".join(node.outputs)
            raise WeightBeyondRange(f"{path}: the 4-bit weights of the {OPERATOR} {made!r}: {problem}: quantize again")
    found, named = sorted(node.inputs[1].rpartition("/")[0] for node in packed), sorted(claimed)
    if found != named:
        raise ManifestError(
            f"{path}: the graph has the 4-bit weights {_listed(found)}, manifest.json names {_listed(named)}: "
            f"quantize again"
        )
    return frozenset(name for node in packed for name in (node.inputs[1], node.inputs[3]))


@dataclass(frozen=True)
class _Expected:
    """An input of a node: what it contains, its element type, and its possible shapes."""

    what: str
    data_type: int
    shapes: tuple[tuple[int, ...], ...]


class _Names:
    """How often each name is stored, read and computed in a graph."""

    def __init__(self, nodes: Sequence[Node], tensors: Sequence[Tensor]) -> None:
        self._stored = Counter(tensor.name for tensor in tensors)
        self._initializers = {tensor.name: tensor for tensor in tensors if tensor.initializer}
        self._read = Counter(name for node in nodes for name in node.inputs)
        self._computed = {name for node in nodes for name in node.outputs}

    def problem(self, name: str, expected: _Expected) -> str | None:
        """Return why a name is not a constant as expected that is read only once; None if it is."""
        tensor = self._initializers.get(name)
        if tensor is None or self._stored[name] > 1 or name in self._computed:
            return f"the {expected.what} {name!r} are not one stored constant"
        if self._read[name] > 1:
            return f"the {expected.what} {name!r} are read more than once"
        if tensor.data_type != expected.data_type:
            return f"the {expected.what} {name!r} have the wrong type"
        if tensor.raw is None or tensor.external:
            return f"the {expected.what} {name!r} are not stored as raw bytes"
        size = math.prod(expected.shapes[0]) * _BYTES[expected.data_type]
        if tensor.shape not in expected.shapes or len(tensor.raw) != size:
            shape = list(expected.shapes[0])
            return f"the {expected.what} {name!r} must have the shape {shape}, found {list(tensor.shape)}"
        return None


def _problem(node: Node, names: _Names) -> str | None:
    """Return why a node may read something else than 4-bit weights; None if it cannot."""
    attributes = dict(node.attributes)
    columns, outputs = (attributes.get(name) for name in _SIZES)
    expected = _ATTRIBUTES | {"K": columns, "N": outputs}
    if attributes != expected or len(node.attributes) != len(expected) or not columns or not outputs:
        required = ", ".join(f"{name} {value}" for name, value in _ATTRIBUTES.items())
        return f"expected the attributes K, N, {required}, found {_listed([name for name, _ in node.attributes])}"
    if len(node.inputs) != 4:
        return f"expected 4 inputs, found {len(node.inputs)}"
    blocks = blocks_of(columns)
    pairs = -(-blocks // 2)
    inputs = (
        _Expected("weights", _UINT8, ((outputs, blocks, BLOCK // 2),)),
        _Expected("scales", _FLOAT, ((outputs, blocks), (outputs * blocks,))),
        _Expected("zero points", _UINT8, ((outputs, pairs), (outputs * pairs,))),
    )
    problems = (names.problem(name, each) for name, each in zip(node.inputs[1:], inputs, strict=True))
    return next(filter(None, problems), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)[:_LONGEST_TEXT] or "none"
