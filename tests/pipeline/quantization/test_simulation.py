"""The simulation saturates exactly like a processor that adds pairs of products in 16 bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from marks import emulated
from onnx import TensorProto, helper, numpy_helper

from benchmarks.devices.emulation import HASWELL, emulated_logits
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError, EngineError, UsageError
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.simulation import SimulatedSession, saturated, simulate
from edgecnn.pipeline.quantization.trial import open_trial

ZERO_POINT = 3


def layer(kind: str, weights: np.ndarray, size: int, **attributes: Any) -> onnx.ModelProto:
    """Return a graph of one INT8 layer on a uint8 image. All scales but the output's are 1: `sums` are integer sums."""
    channels = weights.shape[1] * attributes.get("group", 1) if kind == "Conv" else weights.shape[1] // size**2
    constants = {
        "one": np.float32(1),
        "zero_point": np.uint8(ZERO_POINT),
        "weights": weights,
        "steps": np.ones(len(weights), np.float32),
        "zeros": np.zeros(len(weights), np.int8),
        "coarse": np.float32(4096),
        "middle": np.uint8(128),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planar"], perm=[0, 3, 1, 2]),
        *([] if kind == "Conv" else [helper.make_node("Flatten", ["planar"], ["flat"])]),
        helper.make_node("QuantizeLinear", ["planar" if kind == "Conv" else "flat", "one", "zero_point"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero_point"], ["x"]),
        helper.make_node("DequantizeLinear", ["weights", "steps", "zeros"], ["w"], axis=0),
        helper.make_node(kind, ["x", "w"], ["sums"], "layer", **attributes),
        helper.make_node("QuantizeLinear", ["sums", "coarse", "middle"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "coarse", "middle"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size, size, channels])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None] * (4 if kind == "Conv" else 2))
    graph = helper.make_graph(
        nodes, "g", [image], [logits], [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def set_constants(model: onnx.ModelProto, **values: np.ndarray | np.generic) -> None:
    """Add constants to a graph. They replace constants with the same names."""
    kept = [each for each in model.graph.initializer if each.name not in values]
    added = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *added])


def sums(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Return the predicted sums of a layer."""
    predicted = saturated(model)
    predicted.graph.output.append(onnx.ValueInfoProto(name="sums"))
    return open_trial(predicted).outputs(["sums"], images)[0]


def extreme(*shape: int) -> np.ndarray:
    """Return random full-range weights, most of them near the ends of the range."""
    return np.clip(np.random.default_rng(0).normal(0, 120, shape), -127, 127).astype(np.int8)


def bright(count: int, size: int, channels: int) -> np.ndarray:
    return np.random.default_rng(1).integers(120, 250, (count, size, size, channels)).astype(np.uint8)


def added_in_pairs(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums of products as on the processor, each pair in 16 bits: int64 [P, K] and [O, K] to [P, O]."""
    products = inputs[:, None, :].astype(np.int64) * weights[None].astype(np.int64)
    if products.shape[2] % 2:
        products = np.pad(products, ((0, 0), (0, 0), (0, 1)))
    return np.clip(products[..., 0::2] + products[..., 1::2], -(2**15), 2**15 - 1).sum(axis=2)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"), [(1, 1, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2)]
)
def test_convolution_adds_channels_in_16_bits(channels: int, kernel: int, stride: int, pad: int, dilation: int):
    weights, images = extreme(4, channels, kernel, kernel), bright(2, 7, channels)
    attributes = {"strides": [stride] * 2, "pads": [pad] * 4, "dilations": [dilation] * 2, "kernel_shape": [kernel] * 2}
    found = sums(layer("Conv", weights, 7, **attributes), images)
    stored = np.pad(images + ZERO_POINT, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=ZERO_POINT)
    span = dilation * (kernel - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(stored, (span, span), axis=(1, 2))
    windows = windows[:, ::stride, ::stride, :, ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)  # channels last
    rows = windows.reshape(-1, kernel * kernel * channels)
    flat = weights.transpose(0, 2, 3, 1).reshape(4, -1)
    expected = added_in_pairs(rows, flat) - ZERO_POINT * flat.astype(np.int64).sum(axis=1)
    expected = expected.reshape(*windows.shape[:3], 4).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(found, expected)
    if kernel * channels > 1:
        exact = rows.astype(np.int64) @ flat.T.astype(np.int64) - ZERO_POINT * flat.astype(np.int64).sum(axis=1)
        assert (exact.reshape(*windows.shape[:3], 4).transpose(0, 3, 1, 2) != expected).any(), "nothing saturated"


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_groups_add_their_own_channels_in_16_bits(inputs: int):
    weights, images = extreme(6, inputs, 3, 3), bright(2, 7, 3 * inputs)
    found = sums(layer("Conv", weights, 7, group=3, strides=[2, 2], pads=[1] * 4), images)
    expected = [
        sums(layer("Conv", own_weights, 7, strides=[2, 2], pads=[1] * 4), own_channels)
        for own_weights, own_channels in zip(np.split(weights, 3), np.split(images, 3, axis=3), strict=True)
    ]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))


@pytest.mark.parametrize("channels", [1, 6])
def test_depthwise_convolution_does_not_saturate(channels: int):
    model = layer("Conv", extreme(channels, 1, 3, 3), 7, group=channels)
    assert saturated(model) == model


@pytest.mark.parametrize("transposed", [0, 1])
def test_linear_layer_adds_inputs_in_16_bits(transposed: int):
    weights, images = extreme(5, 27), bright(3, 3, 3)
    model = layer("Gemm", weights, 3, transB=1)
    if not transposed:  # the weights are transposed, so the steps are along axis 1
        set_constants(model, weights=np.ascontiguousarray(weights.T))
        (dequantize,) = [node for node in model.graph.node if "w" in node.output]
        dequantize.attribute[0].i = 1
        (gemm,) = [node for node in model.graph.node if node.op_type == "Gemm"]
        gemm.attribute[0].i = 0
    flat = images.transpose(0, 3, 1, 2).reshape(3, -1).astype(np.int64)
    expected = added_in_pairs(flat + ZERO_POINT, weights) - ZERO_POINT * weights.astype(np.int64).sum(axis=1)
    np.testing.assert_array_equal(sums(model, images), expected)
    assert (expected != flat @ weights.T.astype(np.int64)).any(), "nothing saturated"


def test_portable_weights_do_not_saturate(fp32_bundle: Bundle):
    model = build(
        onnx.load(str(fp32_bundle.model)), fp32_bundle.self_test().images, options=QuantizationOptions()
    ).model
    assert saturated(model) == model


def test_float_convolution_does_not_saturate():
    model = layer("Conv", extreme(4, 2, 3, 3), 7)
    del model.graph.node[-2:]  # like before a float layer
    model.graph.node[-1].output[0] = "logits"
    assert saturated(model) == model


def halved() -> onnx.ModelProto:
    return layer("Gemm", extreme(5, 27), 3, transB=1, alpha=0.5)


def padded() -> onnx.ModelProto:
    return layer("Conv", extreme(4, 2, 3, 3), 7, auto_pad="SAME_UPPER")


def signed() -> onnx.ModelProto:
    model = layer("Conv", extreme(4, 2, 3, 3), 7)
    set_constants(model, zero_point=np.int8(0))
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (halved, "saturation of layer with alpha 0.5"),
        (padded, "saturation of layer with auto_pad"),
        (signed, "saturation of layer with signed activations"),
    ],
)
def test_rejects_unsupported_kernels(make: Callable[[], onnx.ModelProto], message: str):
    with pytest.raises(UsageError, match=message):
        saturated(make())


def test_simulates_saturation_of_every_pair():
    images = np.full((1, 8, 8, 8), 255 - ZERO_POINT, np.uint8)
    found = sums(layer("Gemm", np.full((512, 512), 127, np.int8), 8, transB=1), images)
    np.testing.assert_array_equal(found, np.full((1, 512), 256 * (2**15 - 1) - ZERO_POINT * 127 * 512))


def test_rejects_a_file_without_a_graph(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(BundleError, match=r"cannot read .*model\.onnx"):
        simulate(tmp_path / "model.onnx")


@emulated
@pytest.mark.parametrize(
    ("weights", "groups"),
    [
        ((16, 3, 3, 3), 1),
        ((16, 4, 3, 3), 1),
        ((16, 64, 3, 3), 1),
        ((16, 64, 1, 1), 1),
        ((16, 4, 3, 3), 2),
        ((6, 3, 3, 3), 2),
        ((64, 8, 1, 1), 8),
        ((8, 1, 3, 3), 4),  # one input and two outputs per group
    ],
)
def test_simulation_matches_emulated_haswell(tmp_path: Path, weights: tuple[int, ...], groups: int):
    model = scaled(extreme(*weights), groups)
    found, images = on_haswell(model, tmp_path)
    np.testing.assert_array_equal(SimulatedSession(model).run(images), found)
    assert (found != open_trial(model).run(images)).any(), "nothing saturated"


@emulated
@pytest.mark.parametrize(("operator", "ends"), [("Relu", []), ("Clip", ["low", "high"])])
def test_fused_activation_matches_emulated_haswell(tmp_path: Path, operator: str, ends: list[str]):
    model = scaled(extreme(16, 4, 3, 3), 2)
    set_constants(model, middle=np.uint8(0), low=np.float32(0), high=np.float32(255 * 32 * 4 * 3))
    model.graph.node.insert(len(model.graph.node) - 2, helper.make_node(operator, ["sums", *ends], ["positive"]))
    model.graph.node[-2].input[0] = "positive"
    found, images = on_haswell(model, tmp_path)
    np.testing.assert_array_equal(SimulatedSession(model).run(images), found)
    assert (found != open_trial(model).run(images)).any(), "nothing saturated"


@emulated
@pytest.mark.parametrize("channels", [16, 12, 1])  # ONNX Runtime has another kernel for multiples of 16
@pytest.mark.parametrize("kernel", [3, 5])
def test_depthwise_convolution_is_exact_on_emulated_haswell(tmp_path: Path, channels: int, kernel: int):
    model = scaled(extreme(channels, 1, kernel, kernel), channels)
    found, images = on_haswell(model, tmp_path)
    np.testing.assert_array_equal(open_trial(model).run(images), found)


def scaled(weights: np.ndarray, groups: int) -> onnx.ModelProto:
    """Return a graph of one convolution with an output step for its range."""
    model = layer("Conv", weights, 7, kernel_shape=list(weights.shape[2:]), group=groups)
    set_constants(model, coarse=np.float32(32 * weights.shape[1] * weights.shape[2]))
    return model


def on_haswell(model: onnx.ModelProto, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs on an emulated Haswell, and the images."""
    onnx.save(model, str(folder / "layer.onnx"))
    images = bright(2, 7, model.graph.input[0].type.tensor_type.shape.dim[3].dim_value)
    return emulated_logits(HASWELL, folder / "layer.onnx", images=images), images


def test_rejects_a_closed_session():
    session = SimulatedSession(layer("Conv", extreme(4, 2, 3, 3), 7))
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(bright(1, 7, 2))
