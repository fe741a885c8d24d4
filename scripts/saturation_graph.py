"""Write `edgecnn/runtime/engines/saturation.onnx`, which detects overflow of 16-bit sums of 8-bit products.

It contains a convolution and a matrix product whose inputs and weights are at the ends of their ranges, in QDQ form
like every INT8 bundle. Their outputs are exactly 1, or about 0.5 if pairs of products saturate in 16 bits.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUT = Path(__file__).parents[1] / "edgecnn" / "runtime" / "engines" / "saturation.onnx"
CHANNELS, SIDE, KERNEL, OUTPUTS = 64, 4, 3, 16
"""Large enough that an engine uses the same kernels as for real layers."""


def graph() -> onnx.ModelProto:
    """Return the graph: uint8 [N, 4, 4, 64] of 255 to float32 [N, 32], the convolution's outputs first."""
    constants: dict[str, np.ndarray] = {
        "image_scale": np.array(1 / 255, np.float32),
        "zero": np.array(0, np.uint8),
        "one_scale": np.array(1 / 255, np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "image_scale"], ["scaled"]),
        helper.make_node("QuantizeLinear", ["scaled", "image_scale", "zero"], ["quantized"]),
        helper.make_node("DequantizeLinear", ["quantized", "image_scale", "zero"], ["pixels"]),
    ]
    for kind, shape in (
        ("conv", (OUTPUTS, CHANNELS, KERNEL, KERNEL)),
        ("gemm", (OUTPUTS, CHANNELS * SIDE * SIDE)),
    ):
        fan_in = int(np.prod(shape[1:]))
        constants |= {
            f"{kind}_weights": np.full(shape, 127, np.int8),
            f"{kind}_scale": np.full(OUTPUTS, 1 / 127 / fan_in, np.float32),
            f"{kind}_zero": np.zeros(OUTPUTS, np.int8),
        }
        inputs = [f"{kind}_weights", f"{kind}_scale", f"{kind}_zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{kind}_dequantized"], axis=0))
    nodes += [
        helper.make_node("Conv", ["pixels", "conv_dequantized"], ["conv"], kernel_shape=[KERNEL, KERNEL]),
        helper.make_node("QuantizeLinear", ["conv", "one_scale", "zero"], ["conv_q"]),
        helper.make_node("DequantizeLinear", ["conv_q", "one_scale", "zero"], ["conv_dq"]),
        helper.make_node("GlobalAveragePool", ["conv_dq"], ["conv_mean"]),
        helper.make_node("Flatten", ["conv_mean"], ["conv_flat"]),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("QuantizeLinear", ["flat", "image_scale", "zero"], ["flat_q"]),
        helper.make_node("DequantizeLinear", ["flat_q", "image_scale", "zero"], ["flat_dq"]),
        helper.make_node("Gemm", ["flat_dq", "gemm_dequantized"], ["gemm"], transB=1),
        helper.make_node("QuantizeLinear", ["gemm", "one_scale", "zero"], ["gemm_q"]),
        helper.make_node("DequantizeLinear", ["gemm_q", "one_scale", "zero"], ["gemm_dq"]),
        helper.make_node("Concat", ["conv_flat", "gemm_dq"], ["logits"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, CHANNELS])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2 * OUTPUTS])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    whole = helper.make_graph(nodes, "saturation", [image], [logits], initializers)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    OUT.write_bytes(graph().SerializeToString(deterministic=True))
    print(f"wrote {OUT.name}: {OUT.stat().st_size} bytes")
