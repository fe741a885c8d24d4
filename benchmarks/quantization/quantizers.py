"""INT8 graphs of one FP32 graph from edgecnn and from other quantizers, with the same images."""

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgecnn.bundle.manifest import INPUT_NAME

Quantizer = Callable[[onnx.ModelProto, np.ndarray], onnx.ModelProto]
_BATCH = 8
_PER_CHANNEL_OPSET = 13
"""The first opset with a scale for each channel; the peers do not convert older graphs."""


class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Batches of calibration images for ONNX Runtime."""

    def __init__(self, name: str, batches: Iterable[np.ndarray]) -> None:
        """Store the images; `name` is the graph's input."""
        self._name = name
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch."""
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def ours(model: onnx.ModelProto, images: np.ndarray, **options: object) -> onnx.ModelProto:
    """Quantize with edgecnn's defaults, without the gate, which needs more images than the other quantizers use."""
    from edgecnn.pipeline.quantization.building import build
    from edgecnn.pipeline.quantization.options import QuantizationOptions

    return build(model, images, options=QuantizationOptions(**options)).model  # type: ignore[arg-type]


def ort(
    model: onnx.ModelProto,
    images: np.ndarray,
    *,
    reduce_range: bool = False,
    activations: QuantType = QuantType.QUInt8,
    method: CalibrationMethod = CalibrationMethod.MinMax,
    logits_in_float: bool = True,
) -> onnx.ModelProto:
    """Quantize with ONNX Runtime's `quantize_static`, after the preparation that its documentation recommends."""
    extra = {"OpTypesToExcludeOutputQuantization": ["Gemm"]} if logits_in_float else {}
    with tempfile.TemporaryDirectory() as folder:
        before, prepared, after = (Path(folder) / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(recent(model), str(before))
        quant_pre_process(before, prepared, skip_symbolic_shape=True)  # for transformers only
        quantize_static(
            prepared,
            after,
            Reader(INPUT_NAME, (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options=extra,
        )
        return onnx.load(str(after))


def nncf(model: onnx.ModelProto, images: np.ndarray, *, mixed: bool = False, fast: bool = True) -> onnx.ModelProto:
    """Quantize with NNCF.

    Args:
        model: the FP32 graph.
        images: uint8 [N, H, W, C].
        mixed: NNCF's preset for activations with negative values, and its settings for processors.
        fast: correct the biases from statistics of each layer; otherwise from runs of the quantized network.
    """
    import nncf as peer

    dataset = peer.Dataset([{INPUT_NAME: images[i : i + 1]} for i in range(len(images))])
    settings = {"preset": peer.QuantizationPreset.MIXED, "target_device": peer.TargetDevice.CPU} if mixed else {}
    copy = onnx.ModelProto()
    copy.CopyFrom(recent(model))
    result: onnx.ModelProto = peer.quantize(
        copy, dataset, subset_size=len(images), fast_bias_correction=fast, **settings
    )
    return result


def recent(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose opset has a scale for each channel."""
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset >= _PER_CHANNEL_OPSET:
        return model
    converted: onnx.ModelProto = version_converter.convert_version(model, _PER_CHANNEL_OPSET)
    return converted


QUANTIZERS: dict[str, Quantizer] = {
    "edgecnn": ours,
    "onnxruntime": ort,
    "onnxruntime reduce_range": partial(ort, reduce_range=True),
    "onnxruntime S8S8": partial(ort, activations=QuantType.QInt8),
    "nncf": nncf,
    "nncf mixed": partial(nncf, mixed=True),
    "nncf mixed, slow bias correction": partial(nncf, mixed=True, fast=False),
}
"""edgecnn first. ONNX Runtime with the logits in float: at full and at reduced weight range, and with signed
activations, which its documentation recommends first. NNCF with its defaults and with its presets for such networks."""

DISTINCT = ("edgecnn", "onnxruntime", "onnxruntime S8S8", "nncf", "nncf mixed")
"""Quantizers whose graphs differ in structure or in types, and so in speed."""
