"""Write the models of LiteRT, ExecuTorch, torchao and ncnn: `PEERS/bin/python -m benchmarks.engines.mobile_models`.

Each tool quantizes the network of `torch.export` with the same calibration images, as its documentation recommends.
It runs in the virtual environment of `mobile_peers.py`, one tool a process.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.mobile_peers import CALIBRATION, EXECUTORCH, LITERT, NCNN, NETWORK, PEERS_PYTHON, TORCHAO
from benchmarks.engines.peers import FP32

MODULE = "benchmarks.engines.mobile_models"


def build_mobile(path: Path) -> None:
    """Write a file with the Python of the mobile peers, into the folder of the network and the calibration images.

    Raises:
        RuntimeError: the tool failed, or the environment names no Python. The message is the last line of its output.
    """
    python = os.environ.get(PEERS_PYTHON)
    if python is None:
        raise RuntimeError("not built: this run has no --peers-python")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [python, "-P", "-m", MODULE, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not path.exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise RuntimeError(f"{path.name}: {lines[-1][:300]}")


def _litert(folder: Path, out: Path) -> None:
    """Convert in float, then quantize the file with AI Edge Quantizer: per channel, static."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    images = np.load(folder / CALIBRATION)
    with tempfile.TemporaryDirectory() as temporary:
        fp32 = str(Path(temporary) / "fp32.tflite")
        litert_torch.convert(_program(folder).module(), (_tensor(images[:1]),)).export(fp32)
        ((signature, names),) = Interpreter(fp32).get_signature_list().items()
        made = quantizer.Quantizer(fp32, recipe.static_wi8_ai8())
        (name,) = names["inputs"]
        ranges = made.calibrate({signature: [{name: image[np.newaxis]} for image in images]})
        made.quantize(ranges).export_model(str(out))


def _executorch(folder: Path, out: Path) -> None:
    """Quantize for XNNPACK: PT2E, static, per channel."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    network, example = _pt2e(folder, quantizer)
    program = torch.export.export(network, example)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    with out.open("wb") as file:
        lowered.write_to_file(file)


def _torchao(folder: Path, out: Path) -> None:
    """Quantize for Inductor on x86: PT2E, static, per channel."""
    import torch
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    network, example = _pt2e(folder, quantizer)
    torch.export.save(torch.export.export(network, example), out)


def _ncnn(folder: Path, out: Path) -> None:
    """Convert the ONNX export with pnnx. The weights are in float16, its default: ncnn's quantizer is not on PyPI."""
    import pnnx

    with tempfile.TemporaryDirectory() as temporary:
        graph = Path(temporary) / "network.onnx"
        graph.symlink_to((folder / FP32).resolve())  # pnnx writes its files into the folder of the graph
        shape = ",".join(map(str, np.load(folder / CALIBRATION, mmap_mode="r")[:1].shape))
        subprocess.run([pnnx.EXEC_PATH, str(graph), f"inputshape=[{shape}]"], check=True, stdout=subprocess.DEVNULL)
        for suffix in (".bin", ".param"):
            shutil.move(graph.with_name(f"network.ncnn{suffix}"), out.with_suffix(suffix))


def _pt2e(folder: Path, quantizer: Any) -> tuple[Any, tuple[Any]]:
    """Return the converted network and an example of its input."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    images = _tensor(np.load(folder / CALIBRATION))
    network = prepare_pt2e(_program(folder).module(), quantizer)
    for index in range(len(images)):
        network(images[index : index + 1])
    return convert_pt2e(network), (images[:1],)


def _program(folder: Path) -> Any:
    import torch

    return torch.export.load(folder / NETWORK)


def _tensor(images: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(images)


_BUILDERS: dict[str, Callable[[Path, Path], None]] = {
    LITERT: _litert,
    EXECUTORCH: _executorch,
    TORCHAO: _torchao,
    NCNN: _ncnn,
}


if __name__ == "__main__":
    wanted = Path(sys.argv[1]).absolute()
    _BUILDERS[wanted.name](wanted.parent, wanted)
