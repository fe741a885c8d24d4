"""The PyTorch reference: what every exported and quantized graph is held against.

It satisfies the runtime's `Session` protocol, so that it can stand wherever an engine stands. Its own road from an
image to logits uses torchvision's transforms throughout, and neither our preprocessing nor the wrapper that was
exported: an error in those would otherwise prove itself.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torchvision.transforms import v2

from edgecnn.bundle.decoding import ImageLike, decode
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EngineError
from edgecnn.pipeline.reference import Reference
from edgecnn.runtime.engines.backend import SessionInfo, deliver

_INTERPOLATIONS = {
    "nearest": v2.InterpolationMode.NEAREST,
    "bilinear": v2.InterpolationMode.BILINEAR,
    "bicubic": v2.InterpolationMode.BICUBIC,
    "lanczos": v2.InterpolationMode.LANCZOS,
}


class TorchSession:
    """A reference's network in PyTorch, in FP32 on the CPU."""

    def __init__(self, reference: Reference, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.info = SessionInfo("pytorch", torch.__version__, "cpu", "fp32", torch.get_num_threads())
        self.concurrency = 1
        self.classes = len(reference.labels)
        self._preprocessing = reference.preprocessing
        self._network: torch.nn.Module | None = reference.module()

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        if self._network is None:
            raise EngineError("this session is closed: open the checkpoint again")
        with torch.inference_mode():
            logits = self._network(network_input(images, self._preprocessing)).numpy()
        return deliver(np.asarray(logits), out)

    def logits_of(self, images: Iterable[ImageLike]) -> np.ndarray:
        """Compute the logits of images as they are, through torchvision's transforms; float32 [N, K]."""
        if self._network is None:
            raise EngineError("this session is closed: open the checkpoint again")
        transform = torchvision_transform(self._preprocessing)
        tensors = [transform(decode(image, self._preprocessing.mode)) for image in images]
        with torch.inference_mode():
            return np.asarray(self._network(torch.stack(tensors)).numpy())

    def close(self) -> None:
        """See `Session.close`."""
        self._network = None


def torchvision_transform(preprocessing: Preprocessing) -> v2.Transform:
    """Build torchvision's own transforms for a preprocessing: a Pillow image in, a normalised tensor [C, H, W] out."""
    steps: list[v2.Transform] = []
    if preprocessing.resize is not None:
        interpolation = _INTERPOLATIONS[preprocessing.resize.interpolation]
        steps.append(v2.Resize(list(preprocessing.resize.size), interpolation=interpolation))
    if preprocessing.crop is not None:
        steps.append(v2.CenterCrop(list(preprocessing.crop)))
    steps += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    steps.append(v2.Normalize(list(preprocessing.mean), list(preprocessing.std)))
    return v2.Compose(steps)


def network_input(images: np.ndarray, preprocessing: Preprocessing) -> torch.Tensor:
    """Scale and normalise preprocessed images with torchvision: uint8 [N, H, W, C] to float32 [N, C, H, W]."""
    tensor = torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))  # a copy: the images may be read-only
    scaled = v2.functional.to_dtype(tensor, torch.float32, scale=True)
    normalized: torch.Tensor = v2.functional.normalize(scaled, list(preprocessing.mean), list(preprocessing.std))
    return normalized
