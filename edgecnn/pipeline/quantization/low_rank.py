"""Low-rank linear layers: two small layers replace a large one, `reduce` to a few numbers and `expand` from them.

The factors come from the principal components of the layer's outputs y = Wx + b on calibration images, as in Zhang et
al., Accelerating Very Deep Convolutional Networks for Classification and Detection, 2015 (section 3.1). For a given
rank, they have the smallest mean square error of the outputs; a singular value decomposition of W has the smallest
error of the weights, as if the inputs were not correlated. With the mean m and the components P, [O, r],

    reduce: z = PᵀWx + Pᵀ(b - m)        expand: y = Pz + m
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecnn.bundle.layer_report import LowRankLayer
from edgecnn.errors import UsageError
from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.nodes import is_layer, module_of
from edgecnn.pipeline.quantization.calibration import Calibration

LARGE = 1 << 18
"""Linear layers with fewer weights are not factored: reading them from the processor's cache takes little time."""

SHARES = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
"""Shares of a layer's weights that its factors may have, in the order in which they are tried."""

_MULTIPLE = 16  # a rank is a multiple of it, so that rows of the factors fill vector registers


@dataclass(frozen=True)
class Factors:
    """The principal components of a linear layer's outputs, and the ranks to try.

    Attributes:
        layer: module of the layer.
        weights: its initializer of shape [O, K].
        outputs: O.
        inputs: K.
        mean: mean of the outputs, float64 [O].
        components: orthonormal columns, float64 [O, C], the largest variance first.
        variances: variance of the outputs along each component, float64 [C].
        ranks: ranks for `SHARES`, smallest first, without those for which there are too few calibration images.
    """

    layer: str
    weights: str
    outputs: int
    inputs: int
    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    ranks: tuple[int, ...]

    def report(self, rank: int) -> LowRankLayer:
        """Return the record of the layer with this rank."""
        total = float(self.variances.sum())
        kept = float(self.variances[:rank].sum()) / total if total > 0 else 1.0
        return LowRankLayer(self.layer, self.outputs, self.inputs, rank, min(kept, 1.0))


def find_factors(graph: onnx.GraphProto, calibration: Calibration) -> tuple[Factors, ...]:
    """Return the factors of each linear layer that is worth it, the layer with most weights first.

    Raises:
        UsageError: no layer is large enough, or the calibration images are not more than the smallest rank of a layer.
        EngineError: ONNX Runtime failed, or an output is not finite.
    """
    nodes = _large_layers(graph)
    if not nodes:
        raise UsageError(
            f"no linear layer of this network is large enough for --low-rank, which needs {LARGE:,} weights: "
            f"remove --low-rank"
        )
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    _check_count([(module_of(node), ranks_of(*sizes[node.input[1]])) for node in nodes], len(calibration.images))
    seen = {node.output[0]: _Outputs() for node in nodes}
    calibration.observe({name: [observer] for name, observer in seen.items()}, "factoring")
    return tuple(_factors(node, seen[node.output[0]].values(), sizes[node.input[1]]) for node in nodes)


def factored(model: onnx.ModelProto, ranks: Sequence[tuple[Factors, int]]) -> onnx.ModelProto:
    """Return a canonical FP32 graph with two linear layers in place of each of these layers. `model` is not modified.

    The layers have the module's name and `.reduce` or `.expand`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    editor = GraphEditor(result)
    nodes = {node.input[1]: node for node in result.graph.node if node.op_type == "Gemm"}
    for factors, rank in ranks:
        node = nodes[factors.weights]
        weights = numpy_helper.to_array(editor.initializers[factors.weights]).astype(np.float64)
        has_bias = len(node.input) > 2 and bool(node.input[2])
        bias = numpy_helper.to_array(editor.initializers[node.input[2]]).astype(np.float64) if has_bias else 0.0
        scales = _balance(factors.variances[:rank])
        reduce = factors.components[:, :rank].T / scales[:, None]
        expand = factors.components[:, :rank] * scales
        reduced = editor.unique(f"{node.output[0]}/reduced")
        for name in [name for name in node.input[1:] if name]:
            result.graph.initializer.remove(editor.initializers.pop(name))
        ends = ((node.input[0], reduced), (reduced, node.output[0]))
        values = ((reduce @ weights, reduce @ (bias - factors.mean)), (expand, factors.mean))
        pair = []
        for part, (source, target), (matrix, offset) in zip(("reduce", "expand"), ends, values, strict=True):
            name = f"{factors.layer}.{part}"
            constants = [
                editor.add_constant(f"{name}.weight", matrix.astype(np.float32)),
                editor.add_constant(f"{name}.bias", offset.astype(np.float32)),
            ]
            pair.append(helper.make_node("Gemm", [source, *constants], [target], f"{name}/Gemm", transB=1))
        editor.replace(node, pair)
    GraphEditor(result).write_types()
    return result


def ranks_of(outputs: int, inputs: int) -> tuple[int, ...]:
    """Return the rank for each of `SHARES`, for a layer with weights [O, K]."""
    whole = outputs * inputs / (outputs + inputs)
    return tuple(max(int(share * whole) // _MULTIPLE, 1) * _MULTIPLE for share in SHARES)


def _large_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the linear layers that are worth it, the layer with most weights first."""
    constants: Mapping[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    found = [node for node in graph.node if node.op_type == "Gemm" and is_layer(node, constants)]
    sizes = {node.input[1]: math.prod(constants[node.input[1]].dims) for node in found}
    large = [
        node
        for node in found
        if sizes[node.input[1]] >= LARGE and min(constants[node.input[1]].dims) > _MULTIPLE / SHARES[-1]
    ]
    return sorted(large, key=lambda node: -sizes[node.input[1]])


def _check_count(layers: Sequence[tuple[str, tuple[int, ...]]], images: int) -> None:
    """Check that there are more calibration images than the smallest rank of each layer."""
    layer, ranks = max(layers, key=lambda each: each[1][0])
    if images > ranks[0]:
        return
    largest = max(ranks[-1] for _, ranks in layers)
    raise UsageError(
        f"--low-rank needs more calibration images than ranks: {layer} has ranks {ranks[0]} to {ranks[-1]}, found "
        f"{images} images; use --count {largest + 1}, or at least {ranks[0] + 1}"
    )


class _Outputs:
    """Collects the outputs of a layer."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def update(self, values: np.ndarray) -> None:
        """Add the outputs for some images, float32 [N, O]."""
        self._parts.append(values)

    def values(self) -> np.ndarray:
        """Return the outputs for all images, float32 [N, O]."""
        return np.concatenate(self._parts)


def _factors(node: onnx.NodeProto, values: np.ndarray, size: tuple[int, int]) -> Factors:
    """Return the factors of a layer with these outputs, float32 [N, O], and weights of this size."""
    mean = values.mean(axis=0, dtype=np.float64)
    variances, components = _principal(values - mean)
    ranks = tuple(rank for rank in ranks_of(*size) if rank <= len(variances))
    return Factors(module_of(node), node.input[1], *size, mean, components, variances, ranks)


def _principal(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances, float64 [C], and directions, float64 [O, C], of rows without a mean, float64 [N, O].

    C is the smaller of O and N - 1: the rows, whose sum is zero, have no other direction.
    """
    count, outputs = centred.shape
    directions = min(outputs, count - 1)
    is_wide = count <= outputs  # the smaller one of both products has the same variances
    variances, vectors = np.linalg.eigh((centred @ centred.T if is_wide else centred.T @ centred) / count)
    largest = vectors[:, ::-1][:, :directions]
    components = np.linalg.qr(centred.T @ largest)[0] if is_wide else largest
    return np.maximum(variances[::-1][:directions], 0.0), components


def _balance(variances: np.ndarray) -> np.ndarray:
    """Return the factor of each component in `expand`; `reduce` divides by it, float64 [r].

    The numbers between the layers share one scale in INT8, and so do the weights of an output of `expand`. With equal
    variances of the numbers, the rounding errors of the weights are large; with orthonormal weights, the errors of the
    numbers. The fourth root of the variance, half of each, makes both errors about equal.
    """
    roots = np.sqrt(np.sqrt(variances))
    largest = float(roots[0])
    if largest == 0:
        return np.ones_like(roots)
    result: np.ndarray = np.maximum(roots / largest, 1e-3)
    return result
