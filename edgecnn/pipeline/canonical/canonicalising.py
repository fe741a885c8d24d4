"""The canonical form of an FP32 graph.

Exporters write the same layer in many ways. After this pass,

- each constant is an initializer, and nodes that compute constants are folded;
- the opset is at least 18, no function or dropout remains, and each node has a unique name;
- a linear layer is a Gemm with transB = 1 and without factors, also if it was MatMul and Add;
- a convolution or pooling has `kernel_shape` and explicit `pads`;
- a batch norm, or its scale and shift, is part of the convolution or linear layer before it;
- no weight or bias is shared, and the nodes and constants of a layer have the layer's name.
"""

from collections.abc import Callable

import onnx

from edgecnn.errors import EdgecnnError, UnsupportedOperator
from edgecnn.pipeline.canonical.affine import fold_affine
from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.linear import unify_linear_layers
from edgecnn.pipeline.canonical.naming import name_layers, split_shared_constants
from edgecnn.pipeline.canonical.pooling import unify_averages
from edgecnn.pipeline.canonical.simplification import raise_opset, remove_unused, simplify
from edgecnn.pipeline.canonical.support import check_operators, check_source
from edgecnn.pipeline.canonical.windows import write_out_windows

_STEPS: tuple[Callable[[GraphEditor], None], ...] = (
    unify_averages,
    unify_linear_layers,
    fold_affine,
    split_shared_constants,
)


def canonicalise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the canonical form of an FP32 graph. `model` is not modified.

    Raises:
        UnsupportedOperator: the graph is not valid, or has an operator, a type or a structure that cannot be quantized.
    """
    try:
        check_source(model)
        result = raise_opset(model)
        write_out_windows(GraphEditor(result))  # first, because onnxscript ignores dilations
        result = simplify(result)
        check_operators(result)
        for step in _STEPS:
            step(GraphEditor(result))
        result = remove_unused(result)
        name_layers(GraphEditor(result))
        GraphEditor(result).write_types()
    except EdgecnnError:
        raise
    except Exception as error:  # the exceptions of protobuf, onnx, onnxscript and NumPy have no common base class
        raise UnsupportedOperator(f"cannot bring the graph into canonical form: {cause(error)}") from error
    return result


def cause(error: BaseException) -> str:
    """Return the first cause of an error in one line. Names of a damaged graph may not be text."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError | TypeError):
        return f"a name or a type is damaged ({type(error).__name__})"
    return " ".join(str(error).split())[:200]
