"""Peak memory and time of calibration, compared with ONNX Runtime's, for `compare.py`.

Each measurement runs this module in its own process, which does not import PyTorch.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.common.proc import peak_mb
from benchmarks.quantization.quantizers import Reader

METHODS = ("minmax", "percentile", "entropy", "mse")
OURS, WHOLE, ORT = TOOLS = ("edgecnn", "edgecnn, with rounding and rewriting", "onnxruntime")


def calibration() -> list[dict[str, Any]]:
    """Measure peak memory and time of calibration, each in its own process, in turns."""
    from benchmarks.common.random_networks import random_graph

    with tempfile.TemporaryDirectory() as folder:
        model, pixels = random_graph("resnet18")
        graph = Path(folder) / "fp32.onnx"
        onnx.save(model, str(graph))
        np.save(Path(folder) / "pixels.npy", pixels)
        rows = []
        for images in (64, 512):
            for method in METHODS:
                for tool in TOOLS:
                    if tool == ORT and (method == "mse" or (images == 512 and method != "minmax")):
                        continue  # it has no such method, and would keep 12 GB of activations
                    command = [sys.executable, "-m", __name__, folder, tool, method, str(images)]
                    found = json.loads(
                        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
                    )
                    rows.append({"tool": tool, "method": method, "images": images, **found})
                    print(rows[-1], flush=True)
        return rows


def calibrate(folder: Path, *, tool: str, method: str, images: int) -> dict[str, float]:
    """Calibrate in this process; return time and peak memory."""
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")

    class Repeated:
        """A few images, repeated; their content does not matter here."""

        def __len__(self) -> int:
            return images

        def __getitem__(self, part: slice) -> np.ndarray:
            return np.stack([pixels[i % len(pixels)] for i in range(*part.indices(images))])

    start = time.perf_counter()
    if tool == WHOLE:
        from edgecnn.pipeline.quantization.building import build
        from edgecnn.pipeline.quantization.options import QuantizationOptions

        build(onnx.load(str(folder / "fp32.onnx")), Repeated(), options=QuantizationOptions(method=method))  # type: ignore[arg-type]
    elif tool == OURS:
        from edgecnn.pipeline.canonical.canonicalising import canonicalise
        from edgecnn.pipeline.quantization.calibration import Calibration
        from edgecnn.pipeline.quantization.histogram import Histogram
        from edgecnn.pipeline.quantization.options import QuantizationOptions
        from edgecnn.pipeline.quantization.placement import place
        from edgecnn.pipeline.quantization.planning import plan_from

        model = canonicalise(onnx.load(str(folder / "fp32.onnx")))
        placement = place(model.graph)
        histograms = {name: Histogram() for name in set(placement.activations.values())}
        Calibration(model, Repeated()).observe({name: [each] for name, each in histograms.items()})
        plan_from(model, placement, histograms, QuantizationOptions(method=method))  # type: ignore[arg-type]
    else:
        from onnxruntime.quantization import CalibrationMethod, create_calibrator

        kinds = {
            "minmax": CalibrationMethod.MinMax,
            "percentile": CalibrationMethod.Percentile,
            "entropy": CalibrationMethod.Entropy,
        }
        augmented = str(folder / "augmented.onnx")
        calibrator = create_calibrator(folder / "fp32.onnx", None, augmented, calibrate_method=kinds[method])
        calibrator.collect_data(Reader("image", (Repeated()[i : i + 1] for i in range(images))))
        calibrator.compute_data()
    return {"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}


if __name__ == "__main__":
    print(json.dumps(calibrate(Path(sys.argv[1]), tool=sys.argv[2], method=sys.argv[3], images=int(sys.argv[4]))))
