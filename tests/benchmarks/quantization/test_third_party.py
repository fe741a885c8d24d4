"""Adapting classifiers of other packages to a bundle's input and output."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.quantization.third_party import adapted
from edgecnn.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.pipeline.quantization.trial import trial_logits

SIZE = (6, 9)
PREPROCESSING = Preprocessing("RGB", None, None, (0.4, 0.5, 0.6), (0.2, 0.3, 1 / 255))


def classifier(*, channels_last: bool) -> onnx.ModelProto:
    """Return a convolution, a global average, an identity and a softmax, of opset 9 with a fixed batch inside."""
    shape = [1, *SIZE, 3] if channels_last else [1, 3, *SIZE]
    first = [helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2])] if channels_last else []
    nodes = [
        *first,
        helper.make_node("Conv", ["planes" if channels_last else "x", "weights"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Identity", ["flat"], ["same"]),
        helper.make_node("Softmax", ["same"], ["y"]),
    ]
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "third party",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weights, "weights")],
        value_info=[helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8)


@pytest.mark.parametrize("channels_last", [False, True])
def test_takes_pixels_and_returns_logits(channels_last: bool):
    model = classifier(channels_last=channels_last)
    pixels = np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    found = adapted(model, PREPROCESSING, SIZE)
    onnx.checker.check_model(found, full_check=True)
    (given,), (logits,) = found.graph.input, found.graph.output
    assert (given.name, given.type.tensor_type.elem_type, logits.name) == (INPUT_NAME, TensorProto.UINT8, OUTPUT_NAME)
    kinds = [node.op_type for node in found.graph.node]
    assert kinds == ["Transpose", "Cast", "BatchNormalization", "Conv", "GlobalAveragePool", "Flatten"]

    values = trial_logits(found, pixels)
    normalised = ((pixels / 255 - PREPROCESSING.mean) / PREPROCESSING.std).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for image, answer in zip(normalised, values, strict=True):
        batch = image[None] if channels_last else image.transpose(2, 0, 1)[None]
        (expected,) = session.run(None, {"x": batch})
        softmax = np.exp(answer - answer.max()) / np.exp(answer - answer.max()).sum()
        assert softmax == pytest.approx(expected[0], abs=1e-5)


def test_keeps_the_original():
    model = classifier(channels_last=True)
    before = model.SerializeToString()
    adapted(model, PREPROCESSING, SIZE)
    assert model.SerializeToString() == before
