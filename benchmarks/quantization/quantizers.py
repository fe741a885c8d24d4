"""INT8 graphs of one FP32 graph from edgecnn and from other quantizers, with the same images."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgecnn.bundle.manifest import INPUT_NAME

Quantizer = Callable[[onnx.ModelProto, np.ndarray], onnx.ModelProto]
_BATCH = 8


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
    method: CalibrationMethod = CalibrationMethod.MinMax,
    logits_in_float: bool = True,
) -> onnx.ModelProto:
    """Quantize with ONNX Runtime's `quantize_static`."""
    extra = {"OpTypesToExcludeOutputQuantization": ["Gemm"]} if logits_in_float else {}
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, str(before))
        quantize_static(
            before,
            after,
            Reader(INPUT_NAME, (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options=extra,
        )
        return onnx.load(str(after))


def nncf(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Quantize with NNCF's defaults."""
    import nncf as peer

    dataset = peer.Dataset([{INPUT_NAME: images[i : i + 1]} for i in range(len(images))])
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    result: onnx.ModelProto = peer.quantize(copy, dataset, subset_size=len(images))
    return result


QUANTIZERS: dict[str, Quantizer] = {
    "edgecnn": ours,
    "onnxruntime": ort,
    "onnxruntime reduce_range": lambda model, images: ort(model, images, reduce_range=True),
    "nncf": nncf,
}
"""edgecnn first; ONNX Runtime with the logits in float, at full and at reduced weight range; NNCF."""
