"""The models for `compare.py`: edgecnn's bundles, and the peers' models of `peer_models.py`.

All files have the same random weights, because latency does not depend on them. For the same reason a few photographs
calibrate, weights are rounded to nearest, and the gate is off. Existing files are kept.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.random_networks import IMAGENET, realistic
from benchmarks.common.random_networks import photographs as normalised_photographs
from benchmarks.engines.peer_models import Source, build_peers, timed
from benchmarks.engines.peers import bundle_path
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
OPTIONS = {
    "int8": QuantizationOptions(rounding="nearest", max_drop=100),
    "int4": QuantizationOptions(rounding="nearest", max_drop=100, linear_weights="int4"),
}
"""Name of a quantized bundle -> options of `edgecnn quantize`."""


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
    folder.mkdir(parents=True, exist_ok=True)
    timed(bundle_path(folder, "fp32"), lambda path: export(reference(folder.name), path))
    for name, options in OPTIONS.items():
        timed(bundle_path(folder, name), _quantizing(folder, options))
    build_peers(folder, Source(lambda: reference(folder.name).module(), lambda: _user_images(folder)))


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


def _quantizing(folder: Path, options: QuantizationOptions) -> Callable[[Path], object]:
    parent = bundle_path(folder, "fp32")
    return lambda path: quantize(open_bundle(parent), _calibration(folder.name), path, options=options)


def _user_images(folder: Path) -> np.ndarray:
    """Return the calibration images in the peers' form: float32 [N, C, H, W], normalised."""
    preprocessing = open_bundle(bundle_path(folder, "fp32")).manifest.preprocessing
    pixels = _calibration(folder.name).chosen.all_pixels(preprocessing)
    return network_input(pixels, preprocessing).numpy()
