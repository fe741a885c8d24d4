"""The operators of an engine's own optimised graph, and whether they run in INT8."""

from collections import Counter
from pathlib import Path

import onnx

INT8 = {"u8", "i8"}
DATA = {"Input", "Output", "Const", "Reorder", "Reshape", "Transpose", "FakeQuantize"}
"""Non-operators in OpenVINO's compiled graph. FakeQuantize is the quantization of the image."""


def on_onnx_runtime(model: Path, folder: Path) -> Counter[str]:
    """Return the operators of ONNX Runtime's optimised graph. QLinear… and Q… are its INT8 operators."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(folder / "optimized.onnx")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(str(folder / "optimized.onnx")).graph.node)


def on_openvino(model: Path) -> Counter[tuple[str, bool]]:
    """Return the layers of OpenVINO's compiled graph, and whether they run in INT8."""
    import openvino

    compiled = openvino.Core().compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    return Counter(
        (fact["layerType"].astype(str), fact["runtimePrecision"].astype(str) in INT8)
        for fact in facts
        if fact["layerType"].astype(str) not in DATA
    )
