"""The networks that `compare.py` quantizes: the zoo's, on Fashion-MNIST, exported one after the other."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.proving import temporary_graph
from edgecnn.pipeline.quantization.calibration_config import choose
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine

ZOO = Path("zoo")
TORCHVISION = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_x_400mf")
NETWORKS = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18", *TORCHVISION)
ENGINES = ("onnxruntime", "openvino")
CALIBRATION = 300


@dataclass(frozen=True)
class Selection:
    """The networks to measure.

    Attributes:
        names: of networks; all if empty.
        photographs: an image folder with `train` and `test`, for the third party's graphs; without it they are skipped.
    """

    names: tuple[str, ...] = ()
    photographs: Path | None = None

    def __contains__(self, name: str) -> bool:
        """Return whether a network is selected."""
        return not self.names or name in self.names


@dataclass(frozen=True)
class Network:
    """An FP32 graph with its images.

    Attributes:
        name: of the architecture or the package.
        model: the FP32 graph.
        calibration: uint8 [300, H, W, C].
        pixels: uint8 [N, H, W, C], the test images.
        targets: int64 [N]; None if the images have no classes of this network.
        logits: float32 [N, K], of the FP32 graph.
    """

    name: str
    model: onnx.ModelProto
    calibration: np.ndarray
    pixels: np.ndarray
    targets: np.ndarray | None
    logits: np.ndarray


def trained(selection: Selection) -> Iterator[Network]:
    """Export the networks that `make zoo` has trained, one after the other.

    The export compares the logits of the FP32 graph with the checkpoint's, to within 1e-4 of their spread.
    """
    source = open_source("fashion-mnist")
    for name in filter(selection.__contains__, NETWORKS):
        checkpoint = ZOO / f"{name}-fashion-mnist"
        if not checkpoint.is_dir():
            print(f"{name}: skipped, make zoo has not trained it", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            parent = export(read_checkpoint(checkpoint).reference, Path(folder) / "fp32")
            model, preprocessing = onnx.load(str(parent.model)), parent.manifest.preprocessing
        test = source.split("test")
        pixels = test.all_pixels(preprocessing)
        calibration = choose(source.split("train"), CALIBRATION, 0).all_pixels(preprocessing)
        yield Network(name, model, calibration, pixels, test.known_targets(), trial_logits(model, pixels))


def logits_on(engine: str, graph: onnx.ModelProto, *, pixels: np.ndarray, classes: int = 10) -> np.ndarray:
    """Run a graph on an engine with its defaults, without exact INT8."""
    with temporary_graph(graph.SerializeToString()) as path:
        session = get_engine(engine).open(path, SessionOptions())
        try:
            return run_batches(session, pixels, classes=classes)
        finally:
            session.close()
