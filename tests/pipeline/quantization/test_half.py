"""Weights in float16: the tensors that are converted, and the operators that the engines run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from benchmarks.common.engine_graphs import on_onnx_runtime, on_openvino
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError, UnsupportedOperator, UsageError
from edgecnn.pipeline.quantization.half import SMALLEST, halve
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.pipeline.torch_graph import to_onnx

SIDE = 32


class Mixed(nn.Module):
    """Layers with weights of every kind: convolutions, linear layers, products, normalizations, PReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 5, 2)
        self.norm = nn.BatchNorm2d(64)  # after a ReLU, so that no convolution absorbs it
        self.act = nn.PReLU(64)
        self.depthwise = nn.Conv2d(64, 64, 3, groups=64)
        self.layer_norm = nn.LayerNorm(64)
        self.wide, self.narrow = nn.Linear(64, 128), nn.Linear(128, 64)
        self.product = nn.Parameter(torch.randn(64, 64) / 8)
        self.scale = nn.Parameter(torch.full((64,), 0.1))
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.depthwise(self.act(self.norm(torch.relu(self.stem(image)))))
        tokens = maps.permute(0, 2, 3, 1)
        tokens = tokens + self.scale * self.narrow(nn.functional.gelu(self.wide(self.layer_norm(tokens))))
        return self.head((tokens @ self.product).mean(dim=(1, 2)))


@pytest.fixture(scope="module")
def mixed() -> onnx.ModelProto:
    torch.manual_seed(0)
    preprocessing = Preprocessing("RGB", None, None, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return to_onnx(Mixed().eval(), preprocessing, (SIDE, SIDE, 3))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def lenet(fp32_bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(str(fp32_bundle.model))


@pytest.fixture(scope="module")
def images(fp32_bundle: Bundle) -> np.ndarray:
    return fp32_bundle.self_test().images


def changed(model: onnx.ModelProto, change: dict[str, Callable[[np.ndarray], np.ndarray]]) -> onnx.ModelProto:
    """Return a graph with other weights."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.name in change:
            values = change[tensor.name](numpy_helper.to_array(tensor).copy()).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return result


def scaled(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Return LeNet with the output of `conv2` scaled by a factor, and the weights that read it by its inverse."""
    return changed(
        model,
        {
            "conv2.weight": lambda values: values * factor,
            "conv2.bias": lambda values: values * factor,
            "fc1.weight": lambda values: values / factor,
        },
    )


def relative_error(model: onnx.ModelProto, other: onnx.ModelProto, images: np.ndarray) -> float:
    expected = trial_logits(model, images)
    return float(np.abs(trial_logits(other, images) - expected).max() / np.abs(expected).max())


def test_engines_fold_the_casts(mixed: onnx.ModelProto, pixels: np.ndarray, tmp_path: Path):
    """Each engine's own graph has the operators of FP32."""
    paths = [tmp_path / "fp32.onnx", tmp_path / "fp16.onnx"]
    for path, model in zip(paths, (mixed, halve(mixed, pixels).model), strict=True):
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))
    fp32, fp16 = (on_onnx_runtime(path, tmp_path) for path in paths)
    assert fp32 == fp16
    stored = {tensor.data_type for tensor in onnx.load(str(tmp_path / "optimized.onnx")).graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in stored
    assert on_openvino(paths[0]) == on_openvino(paths[1])


def test_lenet_runs_the_same_operators(fp32_bundle: Bundle, fp16_bundle: Bundle, tmp_path: Path):
    assert on_onnx_runtime(fp32_bundle.model, tmp_path) == on_onnx_runtime(fp16_bundle.model, tmp_path)
    assert on_openvino(fp32_bundle.model) == on_openvino(fp16_bundle.model)


def test_converts_every_kind_of_weights(mixed: onnx.ModelProto, pixels: np.ndarray):
    found = halve(mixed, pixels)
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in mixed.graph.initializer}
    of_floats = {t.name for t in mixed.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    normal = {name for node in mixed.graph.node if "Normalization" in node.op_type for name in node.input[1:]}
    assert len(normal) > 4  # the image's normalization, the batch norm and the layer norm
    halves = {name for name, kind in found.weights.items() if kind == "fp16"}
    assert halves == {name for name in of_floats - normal if sizes[name] >= SMALLEST}
    assert len(halves) >= 9
    assert found.float_tensors == {}
    assert relative_error(mixed, found.model, pixels) < 2e-3


def test_halves_the_size(fp32_bundle: Bundle, fp16_bundle: Bundle):
    assert fp16_bundle.model.stat().st_size < 0.52 * fp32_bundle.model.stat().st_size


def test_keeps_values_beyond_the_range_of_float16(lenet: onnx.ModelProto, images: np.ndarray):
    model = scaled(lenet, 1e7)
    found = halve(model, images)
    assert set(found.float_tensors) >= {"conv2.weight"}
    assert found.float_tensors["conv2.weight"].startswith("float16 overflows: it ends at 65504, and a value has the")
    assert found.weights["conv2.weight"] == "fp32"
    assert found.weights["fc2.weight"] == "fp16"
    assert relative_error(model, found.model, images) < 2e-3


def test_keeps_the_largest_float16_in_float16(lenet: onnx.ModelProto, images: np.ndarray):
    def with_largest(values: np.ndarray) -> np.ndarray:
        values[0, 0, 0, 0] = 65504
        return values

    assert "conv1.weight" not in halve(changed(lenet, {"conv1.weight": with_largest}), images).float_tensors


def test_keeps_values_that_underflow(lenet: onnx.ModelProto, images: np.ndarray):
    model = scaled(lenet, 1e-5)
    found = halve(model, images)
    assert list(found.float_tensors) == ["conv2.weight"]
    assert found.float_tensors["conv2.weight"].startswith("float16 underflows: rounding the values below 6.1e-05 ")
    assert relative_error(model, found.model, images) < 2e-3


def test_keeps_divisors_that_become_zero(lenet: onnx.ModelProto, images: np.ndarray):
    model = onnx.ModelProto()
    model.CopyFrom(lenet)
    (relu,) = [node for node in model.graph.node if node.name == "relu/Relu"]
    relu.op_type = "Div"
    relu.input.append("divisors")
    shape = trial_shape(lenet, relu.output[0])
    model.graph.initializer.append(numpy_helper.from_array(np.full(shape, 1e-9, np.float32), "divisors"))
    model = changed(model, dict.fromkeys(("conv1.weight", "conv1.bias"), lambda values: values * 1e-4))
    found = halve(model, images)
    assert "divisors" in found.float_tensors
    assert np.isfinite(trial_logits(found.model, images)).all()


def trial_shape(model: onnx.ModelProto, name: str) -> tuple[int, ...]:
    """Return the shape of a tensor for one image."""
    (info,) = [each for each in onnx.shape_inference.infer_shapes(model).graph.value_info if each.name == name]
    return tuple(size.dim_value for size in info.type.tensor_type.shape.dim[1:])


def test_ignores_small_values_without_an_effect(lenet: onnx.ModelProto, images: np.ndarray):
    """Training with weight decay leaves channels with weights near zero."""

    def with_dead_channel(values: np.ndarray) -> np.ndarray:
        values[3] = 1e-9
        return values

    model = changed(lenet, dict.fromkeys(("conv2.weight", "fc1.weight"), with_dead_channel))
    found = halve(model, images)
    assert found.float_tensors == {}
    assert relative_error(model, found.model, images) < 2e-3


def test_converts_constant_nodes(lenet: onnx.ModelProto, images: np.ndarray):
    """Some exporters store weights in Constant nodes."""
    model = onnx.ModelProto()
    model.CopyFrom(lenet)
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in lenet.graph.initializer]
    nodes = [*constants, *lenet.graph.node]
    del model.graph.initializer[:]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    found = halve(model, images)
    assert found.weights == halve(lenet, images).weights
    assert len(found.model.SerializeToString()) < 0.52 * len(model.SerializeToString())


def test_leaves_the_original_unchanged(lenet: onnx.ModelProto, images: np.ndarray):
    before = lenet.SerializeToString()
    halve(lenet, images)
    assert lenet.SerializeToString() == before


def test_rejects_weights_that_are_not_finite(lenet: onnx.ModelProto, images: np.ndarray):
    with pytest.raises(BundleError, match=r"fc1\.weight has values that are not finite"):
        halve(changed(lenet, {"fc1.weight": lambda values: values * np.inf}), images)


def test_rejects_a_graph_without_weights(lenet: onnx.ModelProto, images: np.ndarray):
    beyond = {tensor.name: (lambda values: values + 1e6) for tensor in lenet.graph.initializer if len(tensor.dims) > 1}
    biases = {name: (lambda values: values + 1e6) for name in ("fc1.bias", "fc2.bias")}
    with pytest.raises(UsageError, match=r"no weights of this network can be stored in float16 \(conv1\.weight: float"):
        halve(changed(lenet, beyond | biases), images)


def test_rejects_a_quantized_graph(int8_bundle: Bundle, images: np.ndarray):
    with pytest.raises(UnsupportedOperator, match="quantized already"):
        halve(onnx.load(str(int8_bundle.model)), images)


def test_rejects_a_graph_in_float16(lenet: onnx.ModelProto, images: np.ndarray):
    found = halve(lenet, images).model
    with pytest.raises(UsageError, match=r"in float16 \(none has 64 values in float32\): keep FP32"):
        halve(found, images)
