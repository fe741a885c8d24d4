"""Write `peak_fp32.onnx` and `peak_int8.onnx`, which measure the peak throughput of a machine.

A graph is a chain of convolutions like those in the middle of a ResNet, with a shape for which both engines are near
their peak. It has no padding, because kernels may skip padded values that would be counted. Eight numbers define all
weights: the graph repeats them, and an engine folds that at load time. INT8 is in QDQ form like every INT8 bundle.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parents[1] / "edgecnn" / "tuning" / "measuring"
SIDE, CHANNELS, KERNEL, LAYERS = 22, 256, 3, 4
PATTERN = (3, 64, 9, 1, 5, 2, 7, 4)
"""Weights of eight neighbouring channels, rotated by one for each output: none above 64, and all rows differ."""

Precision = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


def graph(precision: Precision) -> onnx.ModelProto:
    """Return the graph: uint8 [N, 22, 22, 256] to float32 [N, 256], the mean of the last convolution's output.

    The weights of one output add up to 1, so a uniform image of one level gives that level / 255.
    """
    turned = np.array([np.roll(PATTERN, row) for row in range(len(PATTERN))])
    repeats = (CHANNELS // len(PATTERN), CHANNELS // len(PATTERN), KERNEL, KERNEL)
    step = np.float32(1 / (sum(PATTERN) * np.prod(repeats[1:])))
    constants: dict[str, np.ndarray] = {"level": np.array(1 / 255, np.float32), "repeats": np.array(repeats, np.int64)}
    if precision == "int8":
        constants |= {
            "block": turned[:, :, None, None].astype(np.int8),
            "zero": np.array(0, np.uint8),
            "steps": np.full(CHANNELS, step, np.float32),
            "zeros": np.zeros(CHANNELS, np.int8),
        }
    else:
        constants["block"] = turned[:, :, None, None].astype(np.float32) * step
    nodes = [
        helper.make_node("Transpose", ["image"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "level"], ["map"]),
        helper.make_node("Tile", ["block", "repeats"], ["weights"]),
        *(_integer_layers() if precision == "int8" else _float_layers()),
        helper.make_node("GlobalAveragePool", ["last"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, CHANNELS])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CHANNELS])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    whole = helper.make_graph(nodes, f"peak_{precision}", [image], [logits], initializers)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _float_layers() -> list[onnx.NodeProto]:
    names = ["map", *(f"conv{layer}" for layer in range(LAYERS - 1)), "last"]
    return [
        helper.make_node("Conv", [names[layer], "weights"], [names[layer + 1]], kernel_shape=[KERNEL, KERNEL])
        for layer in range(LAYERS)
    ]


def _integer_layers() -> list[onnx.NodeProto]:
    nodes = _rounded("map", "pixels")
    source = "pixels"
    for layer in range(LAYERS):
        target = "last" if layer == LAYERS - 1 else f"map{layer}"
        weights = ["weights", "steps", "zeros"]
        nodes += [
            helper.make_node("DequantizeLinear", weights, [f"weights{layer}"], axis=0),
            helper.make_node("Conv", [source, f"weights{layer}"], [f"conv{layer}"], kernel_shape=[KERNEL, KERNEL]),
            *_rounded(f"conv{layer}", target),
        ]
        source = target
    return nodes


def _rounded(source: str, target: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [source, "level", "zero"], [f"{target}_q"]),
        helper.make_node("DequantizeLinear", [f"{target}_q", "level", "zero"], [target]),
    ]


if __name__ == "__main__":
    for precision in PRECISIONS:
        out = FOLDER / f"peak_{precision}.onnx"
        out.write_bytes(graph(precision).SerializeToString(deterministic=True))
        print(f"wrote {out.name}: {out.stat().st_size} bytes")
