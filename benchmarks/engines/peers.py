"""The process that times a peer for `compare.py`, like `measuring.worker` for edgecnn.

It times the call that a user writes, on one prepared image: float32 [1, C, H, W], normalised. edgecnn's graphs receive
pixels and normalise them within the measured time, which favours the peers; the peers' preparation is timed separately.
Threads and other options are each tool's defaults. A kind with the suffix `SET_THREADS` has the setting's threads.
Like edgecnn's, the weights of all peers are on huge pages, unless `EDGECNN_HUGE_PAGES=0`.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.mobile_peers import MOBILE, PEERS_PYTHON, Opener, Peer, torch_info, without_gradients
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EngineError
from edgecnn.files import schema
from edgecnn.host.huge_pages import new_memory_on_huge_pages
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.worker import Subject, serve

MODULE = "benchmarks.engines.peers"

INPUT = "input.npy"
"""The image, in the folder of the models."""

FP32, ORT_INT8, NNCF_ONNX, NNCF_IR = "fp32-user.onnx", "onnxruntime-int8.onnx", "nncf-int8.onnx", "nncf-int8.xml"
ORT_INT4, NNCF_INT4 = "onnxruntime-int4.onnx", "nncf-int4.xml"
"""The files that `peer_models.py` writes; edgecnn's FP32 bundle describes PyTorch's network. INT4: linear layers have
4-bit weights, convolutions are INT8."""

SET_THREADS = "-set-threads"


def bundle_path(folder: Path, precision: str) -> Path:
    """Return the path of edgecnn's bundle of the network that the folder is named after."""
    return folder / f"{folder.name}-{precision}"


COMPILED = "inductor"
"""Folder in which torch.compile keeps its code between processes."""

OPENVINO_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


def peer_of(path: Path, setting: Setting) -> Subject:
    """Open a path with the peer that `setting.engine` names.

    Raises:
        EngineError: the peer rejected it.
    """
    try:
        with new_memory_on_huge_pages():
            peer = open_peer(path, setting)
            images = peer.prepare(np.load(path.parent / INPUT))
            peer.run(images)  # some peers compile, or pack their weights, until the first run
    except Exception as error:  # the page shows the error text of any tool
        raise EngineError(f"{setting.engine}: {' '.join(str(error).split())[:300]}") from error
    return Subject(peer, images)


def open_peer(path: Path, setting: Setting) -> Peer:
    """Open a path with the peer that `setting.engine` names. Any error of the tool can occur."""
    kind = setting.engine.removesuffix(SET_THREADS)
    return _OPENERS[kind](path, None if kind == setting.engine else setting.threads)


def enter_peers_python(module: str, kind: str) -> None:
    """Start this process again with the Python of the mobile peers, if the kind needs it.

    The new process replaces this one, with the same pipes. Only this repository is on its import path.
    """
    python = os.environ.get(PEERS_PYTHON)
    if python is None or kind.removesuffix(SET_THREADS) not in MOBILE or sys.executable == python:
        return
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    os.execve(python, [python, "-P", "-m", module, *sys.argv[1:]], os.environ | path)  # noqa: S606  # no shell


def _eager(path: Path, threads: int | None) -> Peer:
    return Peer(torch_info(threads), without_gradients(_network(path)), _tensor)


def _compiled(path: Path, threads: int | None) -> Peer:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(path.parent / COMPILED)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no helper processes, which would use processor time
    import torch

    info = torch_info(threads)
    return Peer(info, without_gradients(torch.compile(_network(path))), _tensor)


def _network(path: Path) -> Any:
    """Build a bundle's network with new weights, because latency does not depend on them."""
    from edgecnn.pipeline.models.registry import build

    network = open_bundle(path).manifest.network
    assert network is not None
    return build(network).eval()


def _tensor(images: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(images)


def _onnxruntime(path: Path, threads: int | None) -> Peer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    info = SessionInfo("onnxruntime", onnxruntime.__version__, "cpu", "fp32", threads or 0)
    return Peer(info, lambda images: session.run(None, {name: images})[0])


def _openvino(path: Path, threads: int | None, **config: str) -> Peer:
    import openvino

    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = openvino.Core().compile_model(path, "CPU", config)
    precision: Any = OPENVINO_PRECISIONS[compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()]
    found = compiled.get_property("INFERENCE_NUM_THREADS")
    info = SessionInfo("openvino", openvino.__version__, "cpu", precision, found)
    return Peer(info, lambda images: compiled(images)[0])


def _openvino_f32(path: Path, threads: int | None) -> Peer:
    return _openvino(path, threads, INFERENCE_PRECISION_HINT="f32")


def _normalizing(path: Path, threads: int | None) -> Peer:
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
    return Peer(torch_info(threads), call, lambda _: pixels)


_OPENERS: dict[str, Opener] = {
    "torch-eager": _eager,
    "torch-compile": _compiled,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "openvino-f32": _openvino_f32,
    "normalizing": _normalizing,
    **MOBILE,
}
"""Name in the place of the engine -> its opener."""

KINDS = tuple(kind + suffix for kind in _OPENERS for suffix in ("", SET_THREADS))


if __name__ == "__main__":
    enter_peers_python(MODULE, schema.parse(Setting, sys.argv[2]).engine)
    serve(peer_of)
