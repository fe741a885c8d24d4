"""Time and peak memory of quantizing each network, for `compare.py`.

Each measurement runs this module in its own process.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.common.proc import peak_mb
from benchmarks.quantization.networks import Network
from benchmarks.quantization.quantizers import QUANTIZERS

COMPARED = ("edgecnn", "onnxruntime", "nncf", "nncf mixed")


def cost(networks: Iterable[Network]) -> list[dict[str, Any]]:
    """Quantize each network with each quantizer, in separate processes."""
    rows = []
    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            onnx.save(network.model, str(Path(folder) / "fp32.onnx"))
            np.save(Path(folder) / "pixels.npy", network.calibration)
            for quantizer in COMPARED:
                command = [sys.executable, "-m", __name__, folder, quantizer]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows.append(
                    {"network": network.name, "quantizer": quantizer, "images": len(network.calibration)}
                    | json.loads(done.stdout.splitlines()[-1])
                )
                print(rows[-1], flush=True)
    return rows


def quantize(folder: Path, quantizer: str) -> dict[str, float]:
    """Quantize in this process; return time and peak memory."""
    model, pixels = onnx.load(str(folder / "fp32.onnx")), np.load(folder / "pixels.npy")
    start = time.perf_counter()
    QUANTIZERS[quantizer](model, pixels)
    return {"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}


if __name__ == "__main__":
    print(json.dumps(quantize(Path(sys.argv[1]), sys.argv[2])))
