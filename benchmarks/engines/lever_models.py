"""The models of `levers.py`: edgecnn's bundles and the peers' models of one network, from one set of weights.

edgecnn and the peers get the same calibration images. Existing files are kept.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from benchmarks.common.random_networks import random_graph
from benchmarks.common.results import BUILD
from benchmarks.engines.bundles import sealed
from benchmarks.engines.models import Photographs, reference
from benchmarks.engines.peer_models import Source, build_peers, keep, timed
from benchmarks.engines.peers import bundle_path
from benchmarks.quantization.networks import CALIBRATION, ZOO
from edgecnn.bundle.store import open_bundle
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.quantization.calibration_config import CalibrationImages, choose
from edgecnn.pipeline.quantization.low_rank import LARGE, Factors, factored, ranks_of
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.transforms import network_input
from edgecnn.runtime.classifier import run_batches

MODELS = BUILD / "levers"
FASHION_MNIST = "fashion-mnist"
CHECKPOINTS = {
    "alexnet": "alexnet-fashion-mnist-224",
    "vgg16": "vgg16-fashion-mnist-224",
    "vgg11_bn": "vgg11_bn-fashion-mnist",
    "googlenet": "googlenet-fashion-mnist",
    "resnet18": "resnet18-fashion-mnist",
    "lenet": "lenet-fashion-mnist",
}
"""Network -> folder of its checkpoint in `zoo/`."""

RANDOM = ("vgg16",)
"""Networks that are measured with random weights if they have no checkpoint. Only their speed and size count."""

OPTIONS: dict[str, QuantizationOptions] = {
    "int8": QuantizationOptions(),
    "int4": QuantizationOptions(linear_weights="int4"),
    "low-rank": QuantizationOptions(low_rank=True),
    "low-rank-int4": QuantizationOptions(linear_weights="int4", low_rank=True),
}
"""Name of a quantized bundle -> options of `edgecnn quantize`."""


LOW_RANK_CALIBRATION = 1500
"""Low rank needs more calibration images than ranks."""
_SHARE = 1
"""Index in `SHARES` of the rank of random layers: a quarter of the weights."""
_DECISIVE = 10.0
"""Logits of random weights differ by less."""


@dataclass(frozen=True)
class Case:
    """A network and its files."""

    network: str

    @property
    def folder(self) -> Path:
        """The folder of all files."""
        return MODELS / self.network

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint, which may be missing."""
        return ZOO / CHECKPOINTS[self.network]

    @property
    def is_trained(self) -> bool:
        """Whether there is a checkpoint."""
        return self.checkpoint.is_dir()

    @property
    def is_there(self) -> bool:
        """Whether the network can be measured."""
        return self.is_trained or self.network in RANDOM

    @property
    def source(self) -> DataSource:
        """The images for calibration and test."""
        return open_source(FASHION_MNIST) if self.is_trained else Photographs()

    @cached_property
    def _reference(self) -> TorchReference:
        return read_checkpoint(self.checkpoint).reference if self.is_trained else reference(self.network)

    def calibration(self, count: int = CALIBRATION) -> CalibrationImages:
        """Return the calibration images: edgecnn's default choice."""
        return CalibrationImages(self.source, choose(self.source.split("train"), count, 0), 0)

    def build_bundles(self, names: Iterable[str]) -> None:
        """Build the missing bundles: the FP32 bundle, and the quantized ones with these names in `OPTIONS`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        timed(bundle_path(self.folder, "fp32"), lambda path: export(self._reference, path))
        for name in names:
            timed(bundle_path(self.folder, name), self._quantizing(OPTIONS[name]))

    @property
    def _low_rank_parent(self) -> Path:
        """An FP32 bundle with random weights, and linear layers of low rank."""
        path = bundle_path(self.folder, "fp32-low-rank")
        if not path.exists():
            model, pixels = random_graph(self.network)
            sealed(path, self.network, of_low_rank(canonicalise(model)), pixels)
        return path

    def build(self, *, mobile: tuple[str, ...]) -> None:
        """Build the missing models; `mobile` are files of `mobile_models.py`."""
        self.build_bundles(OPTIONS)
        build_peers(self.folder, Source(self._reference.module, self._user_images), mobile=mobile)

    def _quantizing(self, options: QuantizationOptions) -> Callable[[Path], object]:
        """Return the step that writes a quantized bundle.

        With random weights the gate is off. It cannot choose ranks then, so the parent has layers of low rank already.
        """
        parent, images = bundle_path(self.folder, "fp32"), LOW_RANK_CALIBRATION if options.low_rank else CALIBRATION
        if self.is_trained:
            return lambda path: quantize(open_bundle(parent), self.calibration(images), path, options=options)
        used = dataclasses.replace(options, rounding="nearest", max_drop=100, low_rank=False)
        return lambda path: quantize(
            open_bundle(self._low_rank_parent if options.low_rank else parent), self.calibration(), path, options=used
        )

    def _user_images(self) -> np.ndarray:
        """Return the calibration images in the peers' form: float32 [N, C, H, W], normalised."""
        preprocessing = self._reference.preprocessing
        return network_input(self.calibration().chosen.all_pixels(preprocessing), preprocessing).numpy()

    def test_images(self, count: int) -> tuple[Path, np.ndarray, np.ndarray]:
        """Return the file of the first test images, uint8 [N, H, W, C], PyTorch's logits and the targets."""
        test = self.source.split("test")
        chosen = range(min(count, len(test)))
        pixels, logits = self.folder / f"test-{len(chosen)}.npy", self.folder / f"pytorch-{len(chosen)}.npy"
        timed(pixels, lambda path: np.save(path, test.pixels(chosen, self._reference.preprocessing)))
        timed(logits, lambda path: keep(path, lambda path: np.save(path, self._pytorch_logits(pixels))))
        return pixels, np.load(logits), test.known_targets()[: len(chosen)]

    def _pytorch_logits(self, pixels: Path) -> np.ndarray:
        session = self._reference.open()
        return run_batches(session, np.load(pixels, mmap_mode="r"), classes=len(self._reference.labels))


def of_low_rank(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a canonical graph with random factors, a quarter of the weights, in place of its large linear layers.

    One class always wins, by more than any quantization error, as in `models.py`.
    """
    random = np.random.default_rng(0)
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    ranks = []
    for node in model.graph.node:
        if node.op_type != "Gemm" or math.prod(shapes[node.input[1]]) < LARGE:
            continue
        outputs, inputs = shapes[node.input[1]]
        rank = ranks_of(outputs, inputs)[_SHARE]
        columns, _ = np.linalg.qr(random.standard_normal((outputs, rank)))
        mean, ones = np.zeros(outputs), np.ones(rank)
        mean[0] = _DECISIVE if node.output[0] == model.graph.output[0].name else 0
        ranks.append((Factors(node.name, node.input[1], outputs, inputs, mean, columns, ones, (rank,)), rank))
    return factored(model, ranks)
