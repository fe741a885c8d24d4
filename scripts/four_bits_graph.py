"""Write `edgecnn/runtime/engines/four_bits.onnx`, which shows whether an engine runs linear layers with 4-bit weights.

It contains one such layer whose weights and inputs are at the ends of their ranges. Its outputs are exactly 1 or -1;
they are smaller if a sum saturates.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.four_bits import BLOCK, DOMAIN, LARGEST, OPERATOR, blocks_of, pack, pack_zero_points

OUT = Path(__file__).parents[1] / "edgecnn" / "runtime" / "engines" / "four_bits.onnx"
CHANNELS, SIDE, OUTPUTS = 64, 4, 16
"""Of each sign, `OUTPUTS` outputs: large enough that an engine uses the same kernels as for real layers."""


def graph() -> onnx.ModelProto:
    """Return the graph: uint8 [N, 4, 4, 64] of 255 or 0 to float32 [N, 32].

    For 255, the first half of the outputs is 1 and the second half is -1. For 0, the signs are exchanged.
    """
    columns = CHANNELS * SIDE * SIDE
    signs = np.repeat([1, 0], OUTPUTS).astype(np.uint8)[:, np.newaxis]  # weights of 15 with zero point 0, and reversed
    blocks = blocks_of(columns)
    constants: dict[str, np.ndarray] = {
        "middle": np.array(127.5, np.float32),
        "fc.weight/quantized": pack(np.repeat(signs * LARGEST, columns, axis=1)),
        "fc.weight/scale": np.full((2 * OUTPUTS, blocks), 1 / (columns * LARGEST * 127.5), np.float32),
        "fc.weight/zero_point": pack_zero_points(np.repeat((1 - signs) * LARGEST, blocks, axis=1)),
    }
    sizes: dict[str, Any] = {"K": columns, "N": 2 * OUTPUTS, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
    inputs = ["flat", "fc.weight/quantized", "fc.weight/scale", "fc.weight/zero_point"]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "middle"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["flat"]),
        helper.make_node(OPERATOR, inputs, ["logits"], domain=DOMAIN, **sizes),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, CHANNELS])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2 * OUTPUTS])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    whole = helper.make_graph(nodes, "four_bits", [image], [logits], initializers)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(whole, opset_imports=domains, ir_version=9)


if __name__ == "__main__":
    OUT.write_bytes(graph().SerializeToString(deterministic=True))
    print(f"wrote {OUT.name}: {OUT.stat().st_size} bytes")
