"""Check that edgecnn can take a graph, and prepare it without changing what it computes."""

import onnx
import onnx.inliner

from edgecnn.errors import EdgecnnError, OnnxFileError
from edgecnn.pipeline.canonical.canonicalising import cause
from edgecnn.pipeline.canonical.support import all_nodes, called, check_contents
from edgecnn.pipeline.importing.onnx_file.widening import widen

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def prepared(model: onnx.ModelProto, *, wide: bool) -> onnx.ModelProto:
    """Return a graph without functions, with the weights in float32 if `wide` is set. The answers are the same.

    Raises:
        OnnxFileError, UnsupportedOperator: edgecnn cannot take the graph.
    """
    if model.training_info:
        raise OnnxFileError("the graph has information for training: export the network for inference")
    try:
        check_contents(model)
        for node in all_nodes(model):
            if node.op_type in _RANDOM:
                raise OnnxFileError(f"{called(node)} computes random numbers: export the network in evaluation mode")
        result = widen(model) if wide else model
        onnx.checker.check_model(result)
        return onnx.inliner.inline_local_functions(result) if result.functions else result
    except EdgecnnError:
        raise
    except Exception as error:  # the exceptions of protobuf and onnx have no common base class
        raise OnnxFileError(f"the graph is not valid: {cause(error)}") from None
