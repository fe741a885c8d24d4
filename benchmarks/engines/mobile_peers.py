"""Peers from packages that conflict with edgecnn's: LiteRT, ExecuTorch, torchao and ncnn. See `peers.py`.

They run in an own virtual environment, whose Python `--peers-python` of a benchmark names:

    python3.11 -m venv PEERS
    PEERS/bin/pip install torch==2.14.1 torchvision==0.29.1 litert-torch executorch ncnn pnnx numpy pillow
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.errors import EngineMissing
from edgecnn.runtime.engines.engine import SessionInfo, deliver

PEERS_PYTHON = "EDGECNN_PEERS_PYTHON"
"""Environment variable with the Python of these peers."""


def add_peers_python(parser: argparse.ArgumentParser) -> None:
    """Add the option `--peers-python`."""
    parser.add_argument("--peers-python", type=Path, metavar="PATH", help="Python with LiteRT and ExecuTorch")


def use_peers_python(options: argparse.Namespace) -> None:
    """Store the option `--peers-python` for all processes of the benchmark."""
    if options.peers_python is not None:
        os.environ[PEERS_PYTHON] = str(options.peers_python.absolute())


NETWORK, CALIBRATION = "network.pt2", "calibration.npy"
"""The network from `torch.export`, and the calibration images, float32 [N, C, H, W], normalised."""

LITERT, EXECUTORCH = "litert-int8.tflite", "executorch-int8.pte"
TORCHAO, NCNN = "torchao-int8.pt2", "ncnn.param"
"""The files that `mobile_models.py` writes. ncnn's has float16 weights: its quantizer is not on PyPI."""


@dataclass
class Peer:
    """A user's call behind the session protocol.

    Attributes:
        info: the tool and its reported settings; 0 threads if it does not report them.
        call: takes an image in the tool's form and returns the logits in the tool's form.
        prepare: converts images, float32 [N, C, H, W], normalised, to the tool's form. It is not timed.
        logits: converts the result of `call` to logits, float32 [N, K]. It is not timed.
    """

    info: SessionInfo
    call: Callable[[Any], Any]
    prepare: Callable[[np.ndarray], Any] = lambda images: images
    logits: Callable[[Any], np.ndarray] = np.asarray
    instances: int = 1

    def run(self, images: Any, *, out: np.ndarray | None = None) -> Any:
        """See `Session.run`; the result has the tool's type and is not read."""
        answer = self.call(images)
        return answer if out is None else deliver(self.logits(answer), out)

    def close(self) -> None:
        """See `Session.close`; the process exits soon."""


Opener = Callable[[Path, int | None], Peer]
"""Opens a path with the given number of threads; None is the tool's default."""


def torch_info(threads: int | None) -> SessionInfo:
    """Set the threads of PyTorch and describe it."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return SessionInfo("pytorch", torch.__version__, "cpu", "fp32", torch.get_num_threads())


def without_gradients(network: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the call of a network in PyTorch that a user writes for inference."""
    import torch

    def call(images: Any) -> Any:
        with torch.inference_mode():
            return network(images)

    return call


def _litert(path: Path, threads: int | None) -> Peer:
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()

    def call(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(inputs["index"], images)
        interpreter.invoke()
        answer: np.ndarray = interpreter.get_tensor(outputs["index"])
        return answer

    info = SessionInfo("litert", version("ai-edge-litert"), "cpu", "fp32", threads or 0)
    return Peer(info, call, lambda images: _quantized(images, inputs), lambda answer: _dequantized(answer, outputs))


def _quantized(values: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """Convert float32 values to the type of a LiteRT tensor."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    found: np.ndarray = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(tensor["dtype"])
    return found


def _dequantized(values: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """Convert values of a LiteRT tensor to float32."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    found: np.ndarray = (values.astype(np.float32) - zero_point) * np.float32(scale)
    return found


def _executorch(path: Path, threads: int | None) -> Peer:
    from importlib.metadata import version

    import torch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    if threads is not None:
        portable_lib._unsafe_reset_threadpool(threads)  # the only setting of threads in Python
    program = Runtime.get().load_program(path)
    method = program.load_method("forward")
    assert method is not None
    found = portable_lib._threadpool_get_thread_count()
    info = SessionInfo("executorch", version("executorch"), "cpu", "fp32", found)
    return Peer(info, lambda images: method.execute(images)[0], lambda images: [torch.from_numpy(images)])


def _torchao(path: Path, threads: int | None) -> Peer:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(path.parent / "inductor-int8")
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    import torch
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer  # noqa: F401  # registers the operators
    from torch._inductor import config

    config.freezing = True  # as in the tutorial of PT2E with X86InductorQuantizer
    info = torch_info(threads)
    network = torch.compile(torch.export.load(path).module())
    with torch.no_grad():
        network(torch.from_numpy(np.load(path.parent / "input.npy")))  # compile without inference mode
    return Peer(info, _no_grad(network), torch.from_numpy)


def _no_grad(network: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Freezing does not support inference mode."""
    import torch

    def call(images: Any) -> Any:
        with torch.no_grad():
            return network(images)

    return call


def _ncnn(path: Path, threads: int | None) -> Peer:
    import ncnn

    net = ncnn.Net()
    if threads is not None:
        net.opt.num_threads = threads
    net.load_param(str(path))
    net.load_model(str(path.with_suffix(".bin")))
    (first, *_), (last, *_) = net.input_names(), net.output_names()

    def call(image: Any) -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input(first, image)
        return np.array(extractor.extract(last)[1])[np.newaxis]

    info = SessionInfo("ncnn", ncnn.__version__, "cpu", "fp32", net.opt.num_threads)
    return Peer(info, call, lambda images: ncnn.Mat(images[0]).clone())


def _in_peers_python(opener: Opener) -> Opener:
    def opened(path: Path, threads: int | None) -> Peer:
        if PEERS_PYTHON not in os.environ:
            raise EngineMissing("not measured: this run has no --peers-python")
        return opener(path, threads)

    return opened


MOBILE: dict[str, Opener] = {
    name: _in_peers_python(opener)
    for name, opener in {
        "litert": _litert,
        "executorch": _executorch,
        "torchao": _torchao,
        "ncnn": _ncnn,
    }.items()
}
"""Name in the place of the engine -> its opener."""
