"""Mutated graphs end with an INT8 graph or an error of one line, in bounded time and memory."""

import resource
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.options import QuantizationOptions
from tests.support.graphs import CLASSES, image_model, images, weights
from tests.support.mutations import mutated
from tests.support.replaced_processes import outcomes

node = helper.make_node
MEMORY = 4 << 30
"""Address space of a process that quantizes mutated graphs, in bytes."""


def residual() -> onnx.ModelProto:
    """Return a network with a residual block, a grouped convolution and a linear layer."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "stem/Conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Clip", ["c1", "zero", "six"], ["r1"], "stem/Clip"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], "block/Conv", auto_pad="SAME_UPPER", group=2),
        node("Add", ["c2", "r1"], ["sum"], "block/Add"),
        node("MaxPool", ["sum"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["pooled", "flat_shape"], ["flat"], "flatten"),
        node("MatMul", ["flat", "fc"], ["product"], "fc/MatMul"),
        node("Add", ["product", "fc_bias"], ["logits"], "fc/Add"),
    ]
    constants = {
        "w1": weights(8, 3, 3, 3),
        "b1": weights(8),
        "w2": weights(8, 4, 3, 3),
        "b2": weights(8),
        "zero": np.float32(0),
        "six": np.float32(6),
        "flat_shape": np.array([-1, 288]),
        "fc": weights(288, CLASSES),
        "fc_bias": weights(CLASSES),
    }
    return image_model(nodes, constants)


def gated() -> onnx.ModelProto:
    """Return a network at opset 11 with a batch norm, a gate, a concatenation and a transposed linear layer."""
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], "a/Conv", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "gain", "shift", "mean", "variance"], ["n1"], "a/BatchNormalization"),
        node("Relu", ["n1"], ["r1"], "a/Relu"),
        node("GlobalAveragePool", ["r1"], ["p1"], "gate/pool"),
        node("Conv", ["p1", "w2"], ["c2"], "gate/Conv"),
        node("Sigmoid", ["c2"], ["s2"], "gate/Sigmoid"),
        node("Mul", ["r1", "s2"], ["m"], "gate/Mul"),
        node("Concat", ["m", "r1"], ["joined"], "join", axis=1),
        node("GlobalAveragePool", ["joined"], ["p2"], "average"),
        node("Flatten", ["p2"], ["flat"], "flatten"),
        node("Gemm", ["flat", "fc"], ["logits"], "fc/Gemm", transB=1),
    ]
    constants = {"w1": weights(8, 3, 3, 3), "w2": weights(8, 8, 1, 1), "fc": weights(CLASSES, 16)}
    constants |= {name: abs(weights(8, seed=i)) + 1 for i, name in enumerate(("gain", "shift", "mean", "variance"))}
    return image_model(nodes, constants, opset=11)


SEEDS = (residual, gated)


def outcome(seed: int, folder: Path) -> str:
    """Quantize one mutated graph; return what happened."""
    model = mutated(SEEDS[seed % len(SEEDS)](), seed)
    if model is None:
        return "no graph"
    try:
        build(model, images(4), options=QuantizationOptions(rounding="gptq" if seed % 5 == 0 else "nearest"))
    except EdgecnnError as error:
        lines = str(error).splitlines()
        return "error" if len(lines) == 1 and len(lines[0]) < 600 else f"bad message: {error!r}"
    except BaseException as error:  # every other exception is a traceback for the user
        return f"traceback: {type(error).__name__}: {error}"
    return "quantized"


def bound_memory() -> None:
    """Bound the address space of this process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_graphs_give_one_line(count: int, tmp_path: Path):
    found = outcomes(outcome, bound_memory, count, tmp_path)
    wrong = {seed: text for seed, text in found.items() if text not in ("quantized", "error", "no graph")}
    assert wrong == {}
    kinds = Counter(found.values())
    assert kinds["error"] > count / 4
    assert kinds["quantized"] > count / 50
