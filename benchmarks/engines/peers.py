"""The process that times a peer for `compare.py`, like `measuring.worker` for edgecnn.

It times the call that a user writes, on one prepared image: float32 [1, C, H, W], normalised. edgecnn's graphs receive
pixels and normalise them within the measured time, which favours the peers; the peers' preparation is timed separately.
Threads and other options are each tool's defaults.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.engines.engine import SessionInfo, deliver
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.worker import Subject, serve

MODULE = "benchmarks.engines.peers"

INPUT = "input.npy"
"""The image, in the folder of the models."""

FP32, ORT_INT8, NNCF_ONNX, NNCF_IR = "fp32-user.onnx", "onnxruntime-int8.onnx", "nncf-int8.onnx", "nncf-int8.xml"
"""The files that `models.py` writes for the peers; edgecnn's FP32 bundle describes PyTorch's network."""


def bundle_path(folder: Path, precision: str) -> Path:
    """Return the path of edgecnn's bundle of the network that the folder is named after."""
    return folder / f"{folder.name}-{precision}"


COMPILED = "inductor"
"""Folder in which torch.compile keeps its code between processes."""

OPENVINO_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


@dataclass
class Peer:
    """A user's call behind the session protocol.

    Attributes:
        info: the tool and its reported settings; 0 threads if it does not report them.
        call: takes an image in the tool's form and returns the tool's result.
    """

    info: SessionInfo
    call: Callable[[Any], Any]
    instances: int = 1

    def run(self, images: Any, *, out: np.ndarray | None = None) -> Any:
        """See `Session.run`; the result has the tool's type and is not read."""
        answer = self.call(images)
        return answer if out is None else deliver(np.asarray(answer), out)

    def close(self) -> None:
        """See `Session.close`; the process exits soon."""


def peer_of(path: Path, setting: Setting) -> Subject:
    """Open a path with the peer that `setting.engine` names.

    Raises:
        EngineError: the peer rejected it.
    """
    image = np.load(path.parent / INPUT)
    try:
        peer, images = _OPENERS[setting.engine](path, image)
        peer.run(images)  # some peers compile until the first run
    except Exception as error:  # the page shows the error text of any tool
        raise EngineError(f"{setting.engine}: {' '.join(str(error).split())[:300]}") from error
    return Subject(peer, images)


Opener = Callable[[Path, np.ndarray], tuple[Peer, Any]]


def _eager(path: Path, image: np.ndarray) -> tuple[Peer, Any]:
    import torch

    network = _network(path)

    def call(images: Any) -> Any:
        with torch.inference_mode():
            return network(images)

    return Peer(_torch_info(), call), torch.from_numpy(image)


def _compiled(path: Path, image: np.ndarray) -> tuple[Peer, Any]:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(path.parent / COMPILED)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no helper processes, which would use processor time
    import torch

    network: Any = torch.compile(_network(path))

    def call(images: Any) -> Any:
        with torch.inference_mode():
            return network(images)

    return Peer(_torch_info(), call), torch.from_numpy(image)


def _network(path: Path) -> Any:
    """Build a bundle's network with new weights, because latency does not depend on them."""
    from edgecnn.pipeline.models.registry import build

    network = open_bundle(path).manifest.network
    assert network is not None
    return build(network).eval()


def _torch_info() -> SessionInfo:
    import torch

    return SessionInfo("pytorch", torch.__version__, "cpu", "fp32", torch.get_num_threads())


def _onnxruntime(path: Path, image: np.ndarray) -> tuple[Peer, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    info = SessionInfo("onnxruntime", onnxruntime.__version__, "cpu", "fp32", 0)
    return Peer(info, lambda images: session.run(None, {name: images})), image


def _openvino(path: Path, image: np.ndarray, **config: str) -> tuple[Peer, Any]:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", config)
    precision: Any = OPENVINO_PRECISIONS[compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()]
    threads = compiled.get_property("INFERENCE_NUM_THREADS")
    return Peer(SessionInfo("openvino", openvino.__version__, "cpu", precision, threads), compiled), image


def _openvino_f32(path: Path, image: np.ndarray) -> tuple[Peer, Any]:
    return _openvino(path, image, INFERENCE_PRECISION_HINT="f32")


def _normalizing(path: Path, image: np.ndarray) -> tuple[Peer, Any]:
    """Prepare the peers' input from pixels, as torchvision's users do before every run."""
    import torch
    from torchvision.transforms.v2 import functional

    preprocessing = open_bundle(path).manifest.preprocessing
    mean, std = list(preprocessing.mean), list(preprocessing.std)

    def call(pixels: np.ndarray) -> np.ndarray:
        scaled = functional.to_dtype(functional.to_image(pixels), torch.float32, scale=True)
        normalised: np.ndarray = functional.normalize(scaled, mean, std)[np.newaxis].numpy()
        return normalised

    pixels = open_bundle(path).self_test().images[0]
    assert call(pixels).shape == image.shape
    return Peer(_torch_info(), call), pixels


_OPENERS: dict[str, Opener] = {
    "torch-eager": _eager,
    "torch-compile": _compiled,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "openvino-f32": _openvino_f32,
    "normalizing": _normalizing,
}
"""Name in the place of the engine -> its opener."""

KINDS = tuple(_OPENERS)


if __name__ == "__main__":
    serve(peer_of)
