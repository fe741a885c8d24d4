"""Operators that run in INT8, read from each engine's optimised graph."""

import dataclasses
from pathlib import Path

import onnx
import pytest

from benchmarks.common.engine_graphs import on_onnx_runtime, on_openvino
from benchmarks.common.random_networks import realistic
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.models.registry import build as build_network
from edgecnn.pipeline.models.registry import get_architecture
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.torch_graph import to_onnx

SIDE = 64


def quantized(name: str, folder: Path) -> Path:
    """Return the INT8 graph of a network with random weights and ten classes."""
    preprocessing = Preprocessing("RGB", Resize((SIDE, SIDE)), None, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    network = dataclasses.replace(get_architecture(name).usual(image_size=SIDE), num_classes=10)
    model = to_onnx(realistic(build_network(network), size=SIDE).eval(), preprocessing, (SIDE, SIDE, 3))
    pixels = photographs().pixels(range(4), preprocessing)
    path = folder / f"{name}.onnx"
    onnx.save(build(model, pixels, options=QuantizationOptions(rounding="nearest")).model, str(path))
    return path


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-18: 20 convolutions, 8 sums."""
    return quantized("resnet18", tmp_path_factory.mktemp("residual"))


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GoogLeNet: 57 convolutions, 9 concatenations, 13 poolings."""
    return quantized("googlenet", tmp_path_factory.mktemp("inception"))


def test_lenet_on_onnx_runtime(int8_bundle: Bundle, tmp_path: Path):
    found = on_onnx_runtime(int8_bundle.model, tmp_path)
    assert (found["QLinearConv"], found["QGemm"], found["Conv"]) == (2, 1, 0)
    assert found["Gemm"] + found["FusedGemm"] == 2


def test_lenet_on_openvino(int8_bundle: Bundle):
    found = on_openvino(int8_bundle.model)
    assert (found["Convolution", True], found["Convolution", False]) == (2, 0)
    assert (found["FullyConnected", True], found["FullyConnected", False]) == (1, 2)


def test_linear_sums_stay_float(int8_bundle: Bundle):
    nodes = onnx.load(str(int8_bundle.model)).graph.node
    makers = {output: node for node in nodes for output in node.output}
    (last_integer,) = [node for node in nodes if node.name == "fc1/Gemm"]
    (relu,) = [node for node in nodes if last_integer.output[0] in node.input]
    (reader,) = [node for node in nodes if relu.output[0] in node.input]
    assert makers[last_integer.input[0]].op_type == "DequantizeLinear"
    assert (relu.op_type, reader.name) == ("Max", "fc2/Gemm")


@pytest.mark.slow
def test_resnet_on_onnx_runtime(residual: Path, tmp_path: Path):
    found = on_onnx_runtime(residual, tmp_path)
    assert (found["QLinearConv"], found["Conv"]) == (20, 0)
    assert (found["QLinearAdd"], found["Add"]) == (7, 1)  # the last sum is float, because the mean reads it
    assert found["NhwcMaxPool"] == 1
    assert found["Relu"] == 1
    assert found["Transpose"] <= 4  # two for the image, two before the last sum
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1, 2)  # for the image; before the last sum


@pytest.mark.slow
def test_resnet_on_openvino(residual: Path):
    found = on_openvino(residual)
    assert (found["Convolution", True], found["Convolution", False]) == (20, 0)
    assert found["Pooling", True] == 1
    assert {kind for kind, _ in found} <= {"Convolution", "Pooling", "Reduce", "FullyConnected"}


@pytest.mark.slow
def test_googlenet_on_onnx_runtime(inception: Path, tmp_path: Path):
    found = on_onnx_runtime(inception, tmp_path)
    assert (found["QLinearConv"], found["Conv"]) == (57, 0)
    assert (found["QLinearConcat"], found["Concat"]) == (9, 0)
    assert (found["NhwcMaxPool"], found["MaxPool"]) == (13, 0)
    assert found["Relu"] == 0
    assert found["Transpose"] <= 3


@pytest.mark.slow
def test_googlenet_on_openvino(inception: Path):
    found = on_openvino(inception)
    assert (found["Convolution", True], found["Convolution", False]) == (57, 0)
    assert (found["Concatenation", True], found["Concatenation", False]) == (9, 0)
    assert (found["Pooling", True], found["Pooling", False]) == (13, 0)


def test_logits_are_float_on_both_engines(residual: Path, tmp_path: Path):
    ort, openvino = on_onnx_runtime(residual, tmp_path), on_openvino(residual)
    assert ort["Gemm"] + ort["FusedGemm"] == 1  # ten classes: the small last layer
    assert openvino["FullyConnected", False] == 1
