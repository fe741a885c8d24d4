"""The exported graph: operators, names and removed metadata."""

import numpy as np
import onnx
import pytest

from edgecnn.bundle.store import Bundle

OPERATORS = ["Transpose", "Cast", "BatchNormalization"] + ["Conv", "Relu", "MaxPool"] * 2 + ["Reshape"]
OPERATORS += ["Gemm", "Relu", "Gemm", "Relu", "Gemm"]


@pytest.fixture
def model(fp32_bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(str(fp32_bundle.model))


def test_graph_has_exactly_these_operators(model: onnx.ModelProto):
    assert [node.op_type for node in model.graph.node] == OPERATORS


def test_normalises_with_one_node(model: onnx.ModelProto):
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 1


def test_nodes_are_named_after_modules(model: onnx.ModelProto):
    names = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "BatchNormalization")]
    assert names == ["normalize/BatchNormalization", "conv1/Conv", "conv2/Conv", "fc1/Gemm", "fc2/Gemm", "fc3/Gemm"]
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


def test_weights_have_state_dict_names(model: onnx.ModelProto, checkpoint_path):
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    state = read_checkpoint(checkpoint_path).state
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert all(np.array_equal(stored[name], value.numpy()) for name, value in state.items())


def test_input_is_uint8_nhwc_with_any_batch(model: onnx.ModelProto):
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim] == ["batch", 32, 32, 1]
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ["batch", 10]


def test_strips_exporter_metadata(fp32_bundle: Bundle, model: onnx.ModelProto):
    content = fp32_bundle.model.read_bytes()
    for trace in (b"pkg.torch", b"site-packages", b".py", b"/home", b"stack_trace", b"namespace"):
        assert trace not in content
    assert not model.metadata_props
    assert all(not node.metadata_props and not node.doc_string for node in model.graph.node)
    assert model.producer_name == "edgecnn"


def test_graph_is_valid_onnx(model: onnx.ModelProto):
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
