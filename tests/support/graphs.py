"""Small FP32 graphs that take uint8 [N, H, W, C], for tests of the quantizer."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE = 3, 12
CLASSES = 5


def image_model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    *,
    opset: int = 18,
    side: int = SIDE,
    ir_version: int = 8,
    classes: int = CLASSES,
) -> onnx.ModelProto:
    """Return a graph whose nodes read `x`, float32 [N, 3, S, S] in 0..1, and return `logits`, [N, K]."""
    first = [
        helper.make_node("Transpose", ["image"], ["planar"], "planar", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["pixels"], "pixels", to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "white"], ["x"], "scaled"),
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.float32([255]), "white"))
    graph = helper.make_graph(
        [*first, *nodes],
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", side, side, CHANNELS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """Return float32 weights with a variance of 1 / inputs."""
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)


def images(count: int = 8, *, side: int = SIDE) -> np.ndarray:
    """Return smooth random images, uint8 [N, S, S, 3]."""
    coarse = np.random.default_rng(1).uniform(0, 255, (count, side // 4, side // 4, CHANNELS))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
