"""Networks with other activations, grouped convolutions, gates and layer norms run on both engines, in INT8."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from benchmarks.common.engine_graphs import on_onnx_runtime, on_openvino
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine
from tests.support.graphs import CLASSES, image_model, images, weights

node = helper.make_node
WIDTH = 32
SCALARS = {
    "zero": 0.0,
    "six": 6.0,
    "one": 1.0,
    "half": 0.5,
    "root": 2**0.5,
    "slope": 0.1,
}


def gelu(data: str, result: str) -> list[onnx.NodeProto]:
    """Return GELU as exporters write it for opset 18."""
    names = [f"{result}/{step}" for step in "defg"]
    return [
        node("Div", [data, "root"], [names[0]]),
        node("Erf", [names[0]], [names[1]]),
        node("Add", [names[1], "one"], [names[2]]),
        node("Mul", [data, names[2]], [names[3]]),
        node("Mul", [names[3], "half"], [result]),
    ]


ACTIVATIONS = {
    "Relu": lambda data, result: [node("Relu", [data], [result])],
    "ReLU6": lambda data, result: [node("Clip", [data, "zero", "six"], [result])],
    "HardSwish": lambda data, result: [node("HardSwish", [data], [result])],
    "SiLU": lambda data, result: [
        node("Sigmoid", [data], [f"{result}/s"]),
        node("Mul", [data, f"{result}/s"], [result]),
    ],
    "HardSigmoid": lambda data, result: [node("HardSigmoid", [data], [result], alpha=1 / 6, beta=0.5)],
    "Sigmoid": lambda data, result: [node("Sigmoid", [data], [result])],
    "PRelu": lambda data, result: [node("PRelu", [data, "slope"], [result])],
    "LeakyRelu": lambda data, result: [node("LeakyRelu", [data], [result], alpha=0.1)],
    "Elu": lambda data, result: [node("Elu", [data], [result])],
    "Tanh": lambda data, result: [node("Tanh", [data], [result])],
    "GELU": gelu,
}


def network(middle: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Return a graph with a convolution to `c1`, [N, 32, 12, 12], the nodes to `c2`, and a last convolution."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "first/Conv", pads=[2, 2, 2, 2]),
        *middle,
        node("Conv", ["c2", "w3", "b3"], ["c3"], "last/Conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c3"], ["r3"]),
        node("GlobalAveragePool", ["r3"], ["g"]),
        node("Flatten", ["g"], ["flat"]),
        node("Gemm", ["flat", "fc"], ["logits"], "fc/Gemm", transB=1),
    ]
    own = {
        "w1": 3 * weights(WIDTH, 3, 5, 5),
        "b1": weights(WIDTH),
        "w3": weights(WIDTH, WIDTH, 3, 3),
        "b3": weights(WIDTH),
        "fc": weights(CLASSES, WIDTH),
    }
    return image_model(nodes, own | {name: np.float32(value) for name, value in SCALARS.items()} | constants)


def check(model: onnx.ModelProto, folder: Path, *, largest_error: float = 0.1) -> tuple[int, int, int]:
    """Check the INT8 graph on both engines; return its convolutions in INT8 on each, and in float on ONNX Runtime."""
    pixels = images(16)
    found = build(model, pixels, options=QuantizationOptions()).model
    path = folder / "int8.onnx"
    onnx.save(found, str(path))
    expected = trial_logits(model, pixels)
    spread = float(np.sqrt(np.mean((expected - expected.mean(axis=0)) ** 2)))
    for engine in ("onnxruntime", "openvino"):
        session = get_engine(engine).open(path, SessionOptions())
        error = float(np.sqrt(np.mean((session.run(pixels) - expected) ** 2)))
        session.close()
        assert error < largest_error * spread, engine
    ort, openvino = on_onnx_runtime(path, folder), on_openvino(path)
    return ort["QLinearConv"], openvino["Convolution", True], ort["Conv"] + ort["FusedConv"]


SQUASHING = ("Sigmoid", "HardSigmoid")
"""Activations whose random networks have logits that hardly depend on the image."""


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(
    "group",
    [
        pytest.param(1, id="ordinary", marks=pytest.mark.slow),
        pytest.param(4, id="grouped", marks=pytest.mark.slow),
        pytest.param(WIDTH, id="depthwise"),
    ],
)
def test_convolutions_with_an_activation_run_in_int8(name: str, group: int, tmp_path: Path):
    activation = ACTIVATIONS[name]
    middle = [
        *activation("c1", "a1"),
        node("Conv", ["a1", "w2", "b2"], ["d"], "middle/Conv", pads=[1, 1, 1, 1], group=group),
        *activation("d", "c2"),
    ]
    constants = {"w2": 2 * weights(WIDTH, WIDTH // group, 3, 3), "b2": weights(WIDTH)}
    largest_error = 0.4 if name in SQUASHING else 0.1
    in_float = group == WIDTH and name in ("HardSwish", "SiLU")  # see `depthwise.BETWEEN`
    expected = (2, 2, 1) if in_float else (3, 3, 0)
    assert check(network(middle, constants), tmp_path, largest_error=largest_error) == expected


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid"])
def test_squeeze_and_excitation_runs_in_int8(gate: str, tmp_path: Path):
    middle = [
        node("Relu", ["c1"], ["r1"]),
        node("GlobalAveragePool", ["r1"], ["mean"]),
        node("Conv", ["mean", "s1", "t1"], ["u1"], "squeeze/Conv"),
        node("Relu", ["u1"], ["v1"]),
        node("Conv", ["v1", "s2", "t2"], ["u2"], "excite/Conv"),
        node(gate, ["u2"], ["gate"]),
        node("Mul", ["gate", "r1"], ["c2"]),
    ]
    constants = {
        "s1": 9 * weights(8, WIDTH, 1, 1),
        "t1": weights(8),
        "s2": 9 * weights(WIDTH, 8, 1, 1),
        "t2": weights(WIDTH),
    }
    found = build(network(middle, constants), images(16), options=QuantizationOptions())
    assert found.weights == {"first.weight": "int8", "last.weight": "int8"} | dict.fromkeys(
        ("squeeze.weight", "excite.weight", "fc.weight"), "fp32"
    )
    assert check(network(middle, constants), tmp_path) == (2, 2, 2)


def test_a_shuffle_runs_in_int8(tmp_path: Path):
    middle = [
        node("Relu", ["c1"], ["r1"]),
        node("Split", ["r1"], ["left", "right"], axis=1, num_outputs=2),
        node("Conv", ["right", "w2", "b2"], ["moved"], "middle/Conv", pads=[1, 1, 1, 1]),
        node("Relu", ["moved"], ["r2"]),
        node("Concat", ["left", "r2"], ["joined"], axis=1),
        node("Reshape", ["joined", "apart"], ["groups"]),
        node("Transpose", ["groups"], ["turned"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["turned", "together"], ["c2"]),
    ]
    half = WIDTH // 2
    constants = {
        "w2": weights(half, half, 3, 3),
        "b2": weights(half),
        "apart": np.array([-1, 2, half, 12, 12]),
        "together": np.array([-1, WIDTH, 12, 12]),
    }
    assert check(network(middle, constants), tmp_path) == (3, 3, 0)


def test_a_block_with_layer_norm_and_products_runs_in_int8(tmp_path: Path):
    middle = [
        node("Transpose", ["c1"], ["last"], perm=[0, 2, 3, 1]),
        node("LayerNormalization", ["last", "gain", "shift"], ["normal"], axis=-1),
        node("MatMul", ["normal", "m1"], ["p1"], "up/MatMul"),
        node("Add", ["p1", "n1"], ["q1"]),
        *gelu("q1", "g1"),
        node("MatMul", ["g1", "m2"], ["p2"], "down/MatMul"),
        node("Add", ["p2", "n2"], ["q2"]),
        node("Transpose", ["q2"], ["first"], perm=[0, 3, 1, 2]),
        node("Add", ["first", "c1"], ["c2"]),
    ]
    wide = 4 * WIDTH * 8
    constants = {
        "gain": 1 + weights(WIDTH),
        "shift": weights(WIDTH),
        "m1": weights(wide, WIDTH).T,
        "n1": weights(wide),
        "m2": weights(WIDTH, wide).T,
        "n2": weights(WIDTH),
    }
    model = network(middle, constants)
    assert check(model, tmp_path) == (2, 2, 0)
    ort, openvino = on_onnx_runtime(tmp_path / "int8.onnx", tmp_path), on_openvino(tmp_path / "int8.onnx")
    assert (ort["QGemm"] + ort["MatMulIntegerToFloat"], openvino["FullyConnected", True]) == (2, 2)


def dead(data: str) -> list[onnx.NodeProto]:
    """Return nodes whose result `c2` is zero for every image: a branch that no image reaches."""
    return [
        node("Abs", [data], ["a1"]),
        node("Neg", ["a1"], ["n1"]),
        node("Relu", ["n1"], ["z1"]),
        node("Add", ["z1", "z1"], ["z2"]),
    ]


def test_constant_activations_and_unreached_branches_stay_finite(tmp_path: Path):
    middle = [
        *dead("c1"),
        node("Conv", ["z2", "w2", "b2"], ["d"], "unreached/Conv", pads=[1, 1, 1, 1]),
        node("Add", ["d", "c1"], ["c2"]),
    ]
    check(network(middle, {"w2": weights(WIDTH, WIDTH, 3, 3), "b2": weights(WIDTH)}), tmp_path)


def test_a_layer_with_one_output_channel(tmp_path: Path):
    middle = [
        node("Conv", ["c1", "w2", "b2"], ["d"], "narrow/Conv"),
        node("Relu", ["d"], ["r"]),
        node("Mul", ["r", "c1"], ["c2"]),
    ]
    check(network(middle, {"w2": weights(1, WIDTH, 1, 1), "b2": weights(1)}), tmp_path)


def test_a_layer_with_512_groups(tmp_path: Path):
    middle = [
        node("Conv", ["c1", "w2", "b2"], ["wide"], "widen/Conv"),
        node("Relu", ["wide"], ["r"]),
        node("Conv", ["r", "w4", "b4"], ["deep"], "depthwise/Conv", pads=[1, 1, 1, 1], group=512),
        node("Conv", ["deep", "w5", "b5"], ["c2"], "narrow/Conv"),
    ]
    constants = {"w2": weights(512, WIDTH, 1, 1), "w4": weights(512, 1, 3, 3), "w5": weights(WIDTH, 512, 1, 1)}
    constants |= {"b2": weights(512), "b4": weights(512), "b5": weights(WIDTH)}
    assert check(network(middle, constants), tmp_path) == (5, 5, 0)
