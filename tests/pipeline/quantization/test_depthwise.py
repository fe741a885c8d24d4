"""The layers of mobile networks that stay in float."""

import numpy as np
import onnx
import pytest
from onnx import helper

from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.depthwise import BETWEEN, STEM, float_layers
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.trial import trial_logits
from tests.support.graphs import CLASSES, image_model, images, weights

node = helper.make_node


def mobile(*, first: int = 16, between: tuple[onnx.NodeProto, ...] = (), group: int = 16) -> onnx.ModelProto:
    """Return a network with a convolution `a`, the nodes from `a2`, and convolutions `b`, `c` and `d`."""
    nodes = [
        node("Conv", ["x", "wa"], ["a1"], "a/Conv", pads=[1, 1, 1, 1]),
        node("HardSwish", ["a1"], ["a2"]),
        *between,
        node("Conv", ["a3" if between else "a2", "wb"], ["b1"], "b/Conv", pads=[1, 1, 1, 1], group=group),
        node("HardSwish", ["b1"], ["b2"]),
        node("Conv", ["b2", "wc"], ["c1"], "c/Conv"),
        node("HardSwish", ["c1"], ["c2"]),
        node("Conv", ["c2", "wd"], ["d1"], "d/Conv", pads=[1, 1, 1, 1], group=group),
        node("GlobalAveragePool", ["d1"], ["g"]),
        node("Flatten", ["g"], ["flat"]),
        node("Gemm", ["flat", "fc"], ["logits"], "fc/Gemm", transB=1),
    ]
    constants = {
        "wa": 4 * weights(first, 3, 3, 3),
        "wb": weights(first, first // group, 3, 3),
        "wc": weights(first, first, 1, 1),
        "wd": weights(first, first // group, 3, 3),
        "wm": weights(first, first, 1, 1),
        "fc": weights(CLASSES, first),
    }
    return image_model(nodes, constants)


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (mobile(), {"a", "b"}),
        (mobile(between=(node("MaxPool", ["a2"], ["a3"], kernel_shape=[2, 2]),)), {"a", "b"}),
        (mobile(between=(node("Conv", ["a2", "wm"], ["a3"], "m/Conv"),)), set()),
        (mobile(group=4), set()),
        (mobile(group=1), set()),
    ],
    ids=["mobile", "with a pooling", "with a layer between", "grouped", "ordinary"],
)
def test_finds_the_stem(model: onnx.ModelProto, layers: set[str]):
    found = float_layers(canonicalise(model).graph)
    assert {layer for layer, reason in found.items() if reason == STEM} == layers


def test_the_stem_reads_and_writes_floats():
    found = build(mobile(), images(), options=QuantizationOptions())
    assert found.weights == {
        "a.weight": "fp32",
        "b.weight": "fp32",
        "c.weight": "int8",
        "d.weight": "int8",
        "fc.weight": "fp32",
    }
    assert not {"x", "a1", "a2", "b1"} & found.placement.activations.keys()
    assert {"b2", "c1", "c2"} <= found.placement.activations.keys()


def test_the_stem_in_float_lowers_the_error(monkeypatch: pytest.MonkeyPatch):
    model, pixels = mobile(), images(32)
    expected = trial_logits(model, pixels)

    def error() -> float:
        found = build(model, pixels, options=QuantizationOptions())
        return float(np.sqrt(np.mean((trial_logits(found.model, pixels) - expected) ** 2)))

    usual = error()
    monkeypatch.setattr("edgecnn.pipeline.quantization.placement.mobile_layers", lambda graph: {})
    assert usual < 0.95 * error()


@pytest.mark.parametrize(
    ("before", "after", "is_float"),
    [
        ("HardSwish", "HardSwish", True),
        ("Sigmoid", "Sigmoid", True),
        ("Relu", "HardSwish", False),
        ("HardSwish", "Relu", False),
    ],
)
def test_a_depthwise_convolution_between_float_activations(before: str, after: str, is_float: bool):
    def activation(kind: str, data: str, result: str) -> list[onnx.NodeProto]:
        if kind != "Sigmoid":
            return [node(kind, [data], [result])]
        return [node("Sigmoid", [data], [f"{result}/s"]), node("Mul", [data, f"{result}/s"], [result])]  # SiLU

    nodes = [
        node("Conv", ["x", "wa"], ["a1"], "a/Conv"),
        *activation(before, "a1", "a2"),
        node("Conv", ["a2", "wb"], ["b1"], "b/Conv", pads=[1, 1, 1, 1], group=16),
        *activation(after, "b1", "b2"),
        node("GlobalAveragePool", ["b2"], ["g"]),
        node("Flatten", ["g"], ["flat"]),
        node("Gemm", ["flat", "fc"], ["logits"], "fc/Gemm", transB=1),
    ]
    constants = {"wa": weights(16, 3, 5, 5), "wb": weights(16, 1, 3, 3), "fc": weights(CLASSES, 16)}
    found = float_layers(canonicalise(image_model(nodes, constants)).graph)
    assert found == ({"b": BETWEEN} if is_float else {})
