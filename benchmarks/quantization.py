"""INT8 by us and by ONNX Runtime and NNCF: fidelity, latency, memory and time of calibration, in one run.

Fidelity: the five of the zoo on Fashion-MNIST, the same 300 calibration images, all 10,000 test images, on both
engines. Latency: 224 × 224, batch 1, random weights, all graphs on one engine in turns. Calibration: ResNet-18 at
224 × 224, a process for each method and number of images. Writes `results/quantization.json` and `.md`; each part
replaces its own figures.

    pip install nncf
    python benchmarks/quantization.py [fidelity] [latency] [calibration]
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgecnn.pipeline.versions import versions

RESULT = Path(__file__).parent / "results" / "quantization.json"
ZOO = Path("zoo")
FIDELITY = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18")
LATENCY = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet50")
METHODS = ("minmax", "percentile", "entropy", "mse")
ENGINES = ("onnxruntime", "openvino")
_LATENCY_S = 20.0


@dataclass(frozen=True)
class Fidelity:
    """One quantizer's graph on one engine: against the FP32 original, and in pairs against ours.

    Attributes:
        ours_better: images that only our graph answers as the original does.
        theirs_better: images that only this graph does.
    """

    network: str
    quantizer: str
    engine: str
    top1: float
    original_top1: float
    agreement: float
    rms_error: float
    drop_low: float
    drop_high: float
    ours_better: int
    theirs_better: int


def fidelity() -> list[dict[str, Any]]:
    """Measure how faithful every quantizer is."""
    from quantizers import QUANTIZERS

    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.export.exporting import export
    from edgecnn.pipeline.quantization.recipe import choose
    from edgecnn.pipeline.quantization.trial import trial_logits
    from edgecnn.pipeline.training.checkpoint import read_checkpoint
    from edgecnn.runtime.paired import paired_drop

    source = open_source("fashion-mnist")
    rows = []
    for name in FIDELITY:
        checkpoint = ZOO / f"{name}-fashion-mnist"
        if not checkpoint.is_dir():
            print(f"{name}: left out, make zoo has not built it", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            parent = export(read_checkpoint(checkpoint).original, Path(folder) / "fp32")
            model, preprocessing = onnx.load(str(parent.model)), parent.manifest.preprocessing
            images = choose(source.split("train"), 300, 0).all_pixels(preprocessing)
            test = source.split("test")
            pixels, targets = test.all_pixels(preprocessing), test.known_targets()
            expected = trial_logits(model, pixels)
            right = expected.argmax(axis=1) == targets
            agrees: dict[str, np.ndarray] = {}
            for quantizer, quantize in QUANTIZERS.items():
                graph = quantize(model, images)
                for engine in ENGINES:
                    logits = logits_on(engine, graph, pixels, Path(folder))
                    same = logits.argmax(axis=1) == expected.argmax(axis=1)
                    agrees.setdefault(engine, same)
                    drop = paired_drop(right, logits.argmax(axis=1) == targets)
                    rows.append(
                        Fidelity(
                            name,
                            quantizer,
                            engine,
                            float((logits.argmax(axis=1) == targets).mean()),
                            float(right.mean()),
                            float(same.mean()),
                            float(np.sqrt(np.mean((logits.astype(np.float64) - expected) ** 2))),
                            drop.low,
                            drop.high,
                            int((agrees[engine] & ~same).sum()),
                            int((same & ~agrees[engine]).sum()),
                        )
                    )
                    print(rows[-1], flush=True)
    return [asdict(row) for row in rows]


def logits_on(engine: str, graph: onnx.ModelProto, pixels: np.ndarray, folder: Path) -> np.ndarray:
    """Run a graph on an engine, as a user would: nothing protects its integer sums but its weights."""
    from edgecnn.runtime.backend import SessionOptions
    from edgecnn.runtime.backends import get_backend
    from edgecnn.runtime.classifier import run_batches

    path = folder / "int8.onnx"
    onnx.save(graph, str(path))
    session = get_backend(engine).open(path, SessionOptions())
    try:
        return run_batches(session, pixels, classes=10)
    finally:
        session.close()


def latency() -> list[dict[str, Any]]:
    """Time every quantizer's graph on every engine, in turns."""
    from quantizers import QUANTIZERS

    from edgecnn.runtime.backend import SessionOptions
    from edgecnn.runtime.backends import get_backend
    from edgecnn.runtime.benchmark import measure_latency

    rows = []
    for name in LATENCY:
        model, pixels = random_graph(name)
        graphs = {"fp32": model} | {
            quantizer: quantize(model, pixels[:8]) for quantizer, quantize in QUANTIZERS.items()
        }
        for engine in ENGINES:
            with tempfile.TemporaryDirectory() as folder:
                sessions = {}
                for quantizer, graph in graphs.items():
                    path = Path(folder) / f"{quantizer}.onnx"
                    onnx.save(graph, str(path))
                    sessions[quantizer] = get_backend(engine).open(path, SessionOptions())
                found = measure_latency(sessions, pixels[:1], budget_s=_LATENCY_S)
            best = min(found[peer].median_ms for peer in found if peer not in ("fp32", "edgecnn"))
            for quantizer, times in found.items():
                rows.append({"network": name, "engine": engine, "quantizer": quantizer, **asdict(times)})
            print(f"{name} on {engine}: ours {found['edgecnn'].median_ms:.2f} ms, best peer {best:.2f} ms", flush=True)
    return rows


def random_graph(name: str) -> tuple[onnx.ModelProto, np.ndarray]:
    """Return an architecture with random weights at 224, and photographs, uint8 [N, 224, 224, 3]."""
    from realistic import realistic

    from edgecnn.bundle.preprocessing import Preprocessing, Resize
    from edgecnn.pipeline.data.photographs import photographs
    from edgecnn.pipeline.export.graph import to_onnx
    from edgecnn.pipeline.models.registry import build, get_architecture

    preprocessing = Preprocessing("RGB", Resize((224, 224)), None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = realistic(build(get_architecture(name).usual()), size=224 if name in ("alexnet", "vgg16") else 64)
    return to_onnx(network.eval(), preprocessing, (224, 224, 3)), photographs().pixels(range(16), preprocessing)


def calibration() -> list[dict[str, Any]]:
    """Measure peak memory and time of calibration, each in a process of its own, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        model, pixels = random_graph("resnet18")
        graph = Path(folder) / "fp32.onnx"
        onnx.save(model, str(graph))
        np.save(Path(folder) / "pixels.npy", pixels)
        rows = []
        for images in (64, 512):
            for method in METHODS:
                for tool in ("edgecnn", "onnxruntime"):
                    if tool == "onnxruntime" and (method == "mse" or (images == 512 and method != "minmax")):
                        continue  # it has no such method; it would keep 12 GB of activations
                    command = [sys.executable, __file__, "--calibrate", folder, tool, method, str(images)]
                    found = json.loads(
                        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
                    )
                    rows.append({"tool": tool, "method": method, "images": images, **found})
                    print(rows[-1], flush=True)
        return rows


def calibrate(folder: Path, tool: str, method: str, images: int) -> dict[str, float]:
    """Calibrate in this process, and say what it took."""
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")

    class Repeated:
        """A few images, again and again: what they show does not matter here."""

        def __len__(self) -> int:
            return images

        def __getitem__(self, part: slice) -> np.ndarray:
            return np.stack([pixels[i % len(pixels)] for i in range(*part.indices(images))])

    start = time.perf_counter()
    if tool == "edgecnn":
        from edgecnn.pipeline.quantization.calibration import Calibration
        from edgecnn.pipeline.quantization.histogram import Histogram
        from edgecnn.pipeline.quantization.options import QuantizationOptions
        from edgecnn.pipeline.quantization.placement import place
        from edgecnn.pipeline.quantization.planning import plan_from

        model = onnx.load(str(folder / "fp32.onnx"))
        placement = place(model.graph)
        histograms = {name: Histogram() for name in set(placement.activations.values())}
        Calibration(model, Repeated()).observe({name: [each] for name, each in histograms.items()})
        plan_from(model, placement, histograms, QuantizationOptions(method=method))  # type: ignore[arg-type]
    else:
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

        class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
            def __init__(self) -> None:
                self._next = 0

            def get_next(self) -> dict[str, np.ndarray] | None:
                self._next += 1
                return {"image": Repeated()[self._next - 1 : self._next]} if self._next <= images else None

        kinds = {
            "minmax": CalibrationMethod.MinMax,
            "percentile": CalibrationMethod.Percentile,
            "entropy": CalibrationMethod.Entropy,
        }
        augmented = str(folder / "augmented.onnx")
        calibrator = create_calibrator(folder / "fp32.onnx", None, augmented, calibrate_method=kinds[method])
        calibrator.collect_data(Reader())
        calibrator.compute_data()
    # Not getrusage: a child's begins with its parent's.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {"seconds": time.perf_counter() - start, "peak_mb": int(status["VmHWM"].split()[0]) * 1024 / 1e6}


PARTS = {"fidelity": fidelity, "latency": latency, "calibration": calibration}


def main() -> None:
    """Measure the parts that are named, or all."""
    if sys.argv[1:2] == ["--calibrate"]:
        folder, tool, method, images = sys.argv[2:]
        print(json.dumps(calibrate(Path(folder), tool, method, int(images))))
        return
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result |= {"processor": processor(), "versions": versions()}
    for part in sys.argv[1:] or PARTS:
        result[part] = PARTS[part]()
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(page(result))


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def page(result: dict[str, Any]) -> str:
    """Write the tables."""
    lines = [
        "# INT8 by edgecnn, ONNX Runtime and NNCF",
        "",
        f"Written by `benchmarks/quantization.py` on {result['processor']}. Each line of a network is of one run.",
    ]
    if "fidelity" in result:
        lines += ["", "## Fidelity: Fashion-MNIST, 10,000 test images, 300 calibration images", ""]
        lines += table(
            "network | engine | quantizer | top-1 (FP32) | drop, points | agreement | RMS error "
            "| only ours / only theirs agrees",
            [
                f"{row['network']} | {row['engine']} | {row['quantizer']} "
                f"| {row['top1']:.2%} ({row['original_top1']:.2%}) "
                f"| [{row['drop_low'] * 100:.2f}, {row['drop_high'] * 100:.2f}] | {row['agreement']:.2%} "
                f"| {row['rms_error']:.4f} | {row['ours_better']} / {row['theirs_better']}"
                for row in result["fidelity"]
            ],
        )
    if "latency" in result:
        lines += ["", "## Latency: 224 × 224, batch 1, random weights, median [quartiles] ms", ""]
        lines += table(
            "network | engine | quantizer | latency",
            [
                f"{row['network']} | {row['engine']} | {row['quantizer']} "
                f"| {row['median_ms']:.2f} [{row['lower_ms']:.2f}, {row['upper_ms']:.2f}]"
                for row in result["latency"]
            ],
        )
    if "calibration" in result:
        lines += ["", "## Calibration: ResNet-18 at 224 × 224, the whole process", ""]
        lines += table(
            "tool | method | images | seconds | peak, MB",
            [
                f"{row['tool']} | {row['method']} | {row['images']} | {row['seconds']:.1f} | {row['peak_mb']:.0f}"
                for row in result["calibration"]
            ],
        )
    return "\n".join(lines) + "\n"


def table(header: str, rows: list[str]) -> list[str]:
    """Return the lines of a Markdown table whose cells are parted by bars already."""
    rule = "---|" * (header.count("|") + 1)
    return [f"| {header} |", f"|{rule}", *(f"| {row} |" for row in rows)]


if __name__ == "__main__":
    main()
