"""Simplification of a graph with ONNX's version converter and the passes of onnx_ir and onnxscript."""

import copy
import warnings

import onnx
import onnx.inliner
import onnx.version_converter
import onnx_ir
from onnx_ir.passes import common
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules.common import fuse_hardswish_rules

OPSET = 18
"""Oldest opset of a canonical graph. Newer ones are kept."""

_ROUNDS = 2  # a folded constant allows a rewriting, and the other way round
_LARGEST_CONSTANT = 1 << 28  # elements of a folded constant: transposed weights are folded, repeated tensors are not
_GROWING = frozenset({"ConstantOfShape", "Expand", "Pad", "Range", "Resize", "Tile", "Upsample"})
"""Operators with a small input and a large output. They are not folded, so that memory is bounded."""


def raise_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy at opset 18 or newer, without functions, and without initializers among the inputs."""
    result = copy.deepcopy(model)
    constants = {initializer.name for initializer in result.graph.initializer}
    inputs = [each for each in result.graph.input if each.name not in constants]
    del result.graph.input[:]
    result.graph.input.extend(inputs)
    result.ir_version = max(result.ir_version, 8)  # the first one that supports opset 18
    result = onnx.inliner.inline_local_functions(result)
    names = {node.output[0]: node.name for node in result.graph.node if node.output}
    if next(each.version for each in result.opset_import if each.domain in ("", "ai.onnx")) < OPSET:
        result = onnx.version_converter.convert_version(result, OPSET)
    for node in result.graph.node:  # the converter removes names
        node.name = names.get(node.output[0], node.name) if node.output else node.name
    return result


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph without constant nodes, dropout and identities."""
    graph = onnx_ir.from_proto(model)
    lift = common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lift(graph)
        for _ in range(_ROUNDS):
            optimizer.fold_constants(
                graph,
                onnx_shape_inference=True,
                input_size_limit=_LARGEST_CONSTANT,
                output_size_limit=_LARGEST_CONSTANT,
                should_fold=lambda node: False if node.op_type in _GROWING else None,
            )
            lift(graph)
            rewriter.rewrite(graph)
            rewriter.rewrite(graph, fuse_hardswish_rules())
        onnx_ir.passes.Sequential(
            lift,
            common.IdentityEliminationPass(),
            common.RemoveUnusedNodesPass(),
            common.RemoveUnusedOpsetsPass(),
            common.NameFixPass(),
            common.ClearMetadataAndDocStringPass(),
        )(graph)
    result: onnx.ModelProto = onnx_ir.to_proto(graph)
    return result


def remove_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph without nodes and constants that no output needs."""
    graph = onnx_ir.from_proto(model)
    onnx_ir.passes.Sequential(common.RemoveUnusedNodesPass(), common.RemoveUnusedOpsetsPass())(graph)
    result: onnx.ModelProto = onnx_ir.to_proto(graph)
    return result
