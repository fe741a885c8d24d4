"""Find the first layer whose output differs between an ONNX file and the graph of its bundle."""

import contextlib

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgecnn.pipeline.canonical.nodes import makers_of
from edgecnn.pipeline.canonical.simplification import remove_unused
from edgecnn.pipeline.importing.onnx_file.reference import OnnxReference
from edgecnn.pipeline.proving import PARITY_TOLERANCE, ParityFailed, temporary_graph
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def first_difference(reference: OnnxReference, graph: onnx.ModelProto, failed: ParityFailed) -> str:
    """Return which layer is the first with another output, in words that continue a message.

    The graph is cut behind a layer and runs on the engine that differs. Errors reach all later layers, so bisection
    finds the first one.

    Args:
        reference: the ONNX file.
        graph: the graph of its bundle.
        failed: where they differ.

    Raises:
        EngineError: an engine failed.
    """
    makers = makers_of(reference.classifier.model.graph)
    layers = [node for node in graph.graph.node if node.op_type in _LAYERS and node.output[0] in makers]
    with contextlib.closing(reference.open()) as independent:
        names = [node.output[0] for node in layers]
        expected = independent.tensors_of(names, failed.images[failed.row : failed.row + 1])
    low, high = 0, len(layers)
    while low < high:
        middle = (low + high) // 2
        if _differs(graph, layers[middle].output[0], expected[middle], failed):
            high = middle
        else:
            low = middle + 1
    if low == len(layers):
        return "the outputs of all layers with weights that both graphs have agree"
    own = makers[layers[low].output[0]]
    return f"the first layer that differs is {own.name or own.output[0]} ({own.op_type})"


def _differs(graph: onnx.ModelProto, name: str, expected: np.ndarray, failed: ParityFailed) -> bool:
    """Return whether a tensor of the graph differs for the worst image from the file's, which has the batch 1."""
    cut = onnx.ModelProto()
    cut.CopyFrom(graph)
    del cut.graph.output[:], cut.graph.value_info[:]
    cut.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    with temporary_graph(remove_unused(cut).SerializeToString()) as path:
        session = get_engine(failed.engine).open(path, SessionOptions())
        with contextlib.closing(session):
            found = session.run(failed.images)[failed.row]
    if found.shape != expected.shape[1:]:
        return False
    return not np.abs(found - expected[0]).max() <= PARITY_TOLERANCE * max(float(expected.std()), 1e-6)
