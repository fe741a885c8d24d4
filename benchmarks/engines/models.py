"""The models for `compare.py`: edgecnn's bundles, an ONNX export, and INT8 models of it from other quantizers.

All files have the same random weights, because latency does not depend on them. For the same reason a few photographs
calibrate, weights are rounded to nearest, and the gate is off. Existing files are kept.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from benchmarks.common.random_networks import IMAGENET, realistic
from benchmarks.common.random_networks import photographs as normalised_photographs
from benchmarks.engines.peers import FP32, INPUT, NNCF_IR, NNCF_ONNX, ORT_INT8, bundle_path
from benchmarks.quantization.quantizers import Reader
from edgecnn.bundle.decoding import Mode
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.bundle.store import open_bundle
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.models.registry import build, get_architecture
from edgecnn.pipeline.quantization.calibration_config import CalibrationImages, choose
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.transforms import network_input

_CALIBRATION = 8
_OPTIONS = QuantizationOptions(rounding="nearest", max_drop=100)
_USER_INPUT = "input"


class Photographs:
    """The packaged photographs as a data source: the first half for calibration, the second half for the proof."""

    name = "photographs"
    labels = tuple(f"class {number}" for number in range(1000))
    mode: Mode = "RGB"

    def split(self, name: str) -> Split:
        """See `DataSource.split`."""
        whole = photographs()
        half = len(whole) // 2
        return whole.subset(range(half) if name == "train" else range(half, len(whole)))


def build_models(folder: Path) -> None:
    """Build the missing models of the network that the folder is named after."""
    steps: dict[Path, Callable[[Path], object]] = {
        folder / INPUT: lambda path: np.save(path, _user_images(folder)[:1]),
        folder / FP32: lambda path: _export_as_a_user(folder, path),
        folder / ORT_INT8: lambda path: _quantize_static(folder, path),
        folder / NNCF_ONNX: lambda path: onnx.save(_nncf(folder, onnx.load(str(folder / FP32))), str(path)),
        folder / NNCF_IR: lambda path: _nncf_openvino(folder, path),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _timed(bundle_path(folder, "fp32"), lambda path: export(reference(folder.name), path))
    _timed(bundle_path(folder, "int8"), lambda path: _quantize(folder, path))
    for path, make in steps.items():
        _timed(path, lambda path, make=make: _keep(path, make))  # type: ignore[misc]  # mypy does not support this default


def reference(name: str) -> TorchReference:
    """Return a network with random weights that behaves like a trained one, at its usual image size."""
    description = get_architecture(name).usual()
    size, channels = description.image_size[0], description.in_channels
    with torch.no_grad():  # activations for a backward pass would take 10 GB for ResNet-152
        network = realistic(build(description), size=size, channels=channels)
        _decide(network, get_architecture(name).heads[0], normalised_photographs(size, channels))
    mean, std = (values[:channels] for values in IMAGENET)
    return TorchReference(
        network=description,
        state=network.state_dict(),
        labels=_source(name).labels,
        preprocessing=Preprocessing(_source(name).mode, Resize((size, size)), None, mean, std),
        digest=hashlib.sha256(f"{name} with random weights".encode()).hexdigest(),
    )


def _decide(network: torch.nn.Module, head: str, images: torch.Tensor) -> None:
    """Give a network confident answers, as training does; without them, quantization fails its checks.

    One class always wins, by more than any quantization error.
    """
    logits = network(images)
    network.get_submodule(head).get_parameter("bias")[0] += 2 * (logits.max() - logits.min())


def _source(name: str) -> DataSource:
    return open_source("digits") if get_architecture(name).in_channels == 1 else Photographs()


def _calibration(name: str) -> CalibrationImages:
    source = _source(name)
    return CalibrationImages(source, choose(source.split("train"), _CALIBRATION, seed=0), seed=0)


def _quantize(folder: Path, path: Path) -> None:
    parent = open_bundle(bundle_path(folder, "fp32"))
    quantize(parent, _calibration(folder.name), path, options=_OPTIONS)


def _user_images(folder: Path) -> np.ndarray:
    """Return the calibration images in the peers' form: float32 [N, C, H, W], normalised."""
    preprocessing = open_bundle(bundle_path(folder, "fp32")).manifest.preprocessing
    pixels = _calibration(folder.name).chosen.all_pixels(preprocessing)
    return network_input(pixels, preprocessing).numpy()


def _export_as_a_user(folder: Path, path: Path) -> None:
    """Export as in PyTorch's tutorial: one normalised float32 image as input, fixed shapes, for all engines."""
    example = (torch.from_numpy(np.load(folder / INPUT)),)
    network = reference(folder.name).module()
    torch.onnx.export(
        network, example, path, dynamo=True, external_data=False, input_names=[_USER_INPUT], verbose=False
    )


def _quantize_static(folder: Path, path: Path) -> None:
    """Quantize as in ONNX Runtime's documentation: with preprocessing, U8S8, QDQ, one scale per channel, min-max."""
    from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_static

    prepared = path.with_name("prepared.onnx")
    quant_pre_process(folder / FP32, prepared)
    quantize_static(
        prepared,
        path,
        Reader(_USER_INPUT, (image[np.newaxis] for image in _user_images(folder))),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def _nncf(folder: Path, model: Any) -> Any:
    """Quantize an ONNX graph or an OpenVINO model with NNCF's defaults."""
    import nncf

    images = _user_images(folder)
    dataset = nncf.Dataset([{_USER_INPUT: image[np.newaxis]} for image in images])
    return nncf.quantize(model, dataset, subset_size=len(images))


def _nncf_openvino(folder: Path, path: Path) -> None:
    import openvino

    openvino.save_model(_nncf(folder, openvino.convert_model(folder / FP32)), path)


def _timed(path: Path, make: Callable[[Path], object]) -> None:
    if path.exists():
        return
    start = time.perf_counter()
    make(path)
    print(f"{path.parent.name}: {path.name} in {time.perf_counter() - start:.0f} s", flush=True)


def _keep(path: Path, make: Callable[[Path], object]) -> None:
    """Write a file and its companions to another folder first, so that an existing file is always complete."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        make(Path(folder) / path.name)
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
            file.replace(path.parent / file.name)
