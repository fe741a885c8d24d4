"""Compare INT8 by edgecnn, ONNX Runtime and NNCF: fidelity, other processors, latency, calibration.

Fidelity: the zoo's five networks on Fashion-MNIST, the same 300 calibration images, all 10,000 test images, on both
engines. Processors: edgecnn's graphs of these networks on emulated processors. Latency: 224 × 224, batch 1, random
weights, all graphs on one engine in turns. Calibration: ResNet-18 at 224 × 224, one process for each method and number
of images. Writes the data and `results/quantization.md`; each part replaces its own figures and names its processor.

    pip install nncf
    make zoo arm
    python -m benchmarks.quantization.compare [fidelity] [processors] [latency] [calibration]
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.common.random_networks import random_graph
from benchmarks.common.results import command_line, output
from benchmarks.common.tables import interval, table
from benchmarks.quantization.calibration import calibration
from benchmarks.quantization.quantizers import QUANTIZERS
from benchmarks.quantization.zoo import EMULATED, ENGINES, fidelity, processors
from edgecnn.host.processor import processor
from edgecnn.pipeline.proving import temporary_graph
from edgecnn.pipeline.versions import versions
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.engines.registry import get_engine
from edgecnn.tuning.measuring.turn import InProcess, interleave

NETWORKS = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet50")
_ROUNDS, _TURN_S = 25, 0.2


def latency() -> list[dict[str, Any]]:
    """Time every quantizer's graph on every engine, in turns."""
    rows = []
    for name in NETWORKS:
        model, pixels = random_graph(name)
        graphs = {"fp32": model} | {
            quantizer: quantize(model, pixels[:8]) for quantizer, quantize in QUANTIZERS.items()
        }
        for engine in ENGINES:
            sessions: dict[str, Session] = {}
            for quantizer, graph in graphs.items():
                with temporary_graph(graph.SerializeToString()) as path:
                    sessions[quantizer] = get_engine(engine).open(path, SessionOptions())
            found = quartiles(sessions, pixels[:1])
            best = min(found[peer]["median_ms"] for peer in found if peer not in ("fp32", "edgecnn"))
            for quantizer, times in found.items():
                rows.append(
                    {"network": name, "engine": engine, "quantizer": quantizer, **times}
                    | {"ratio": times["median_ms"] / best}
                )
            print(
                f"{name} on {engine}: ours {found['edgecnn']['median_ms']:.2f} ms, best peer {best:.2f} ms", flush=True
            )
    return rows


def quartiles(sessions: dict[str, Session], images: np.ndarray) -> dict[str, dict[str, float]]:
    """Time sessions in turns; return the quartiles of one run in milliseconds for each."""
    turns = interleave([InProcess(each, images) for each in sessions.values()], rounds=_ROUNDS, seconds=_TURN_S)
    found = {}
    for name, took in zip(sessions, turns, strict=True):
        times = [time for turn in took for time in turn.times_ms]
        lower, median, upper = np.percentile(times, [25, 50, 75])
        found[name] = {"median_ms": median, "lower_ms": lower, "upper_ms": upper, "runs": len(times)}
    return found


PARTS = {"fidelity": fidelity, "processors": processors, "latency": latency, "calibration": calibration}


def main() -> None:
    """Measure the selected parts, or all."""
    parser = command_line(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=PARTS, help=f"any of {', '.join(PARTS)}")
    options = parser.parse_args()
    out = output("quantization", options.out)
    result = out.read() | {"versions": versions()}
    for part in options.parts or PARTS:
        result[part] = {"processor": this_processor(), "rows": PARTS[part]()}
        out.write(result, page(result))


def this_processor() -> str:
    """Return the processor's name and its instruction sets."""
    found = processor()
    return ", ".join((found.name, *found.features))


def page(result: dict[str, Any]) -> str:
    """Write the tables of the measured parts."""
    lines = ["# INT8 by edgecnn, ONNX Runtime and NNCF", "", "Written by `python -m benchmarks.quantization.compare`."]
    for part, (title, header, cells) in TABLES.items():
        if part in result:
            rows = [cells(row) for row in result[part]["rows"]]
            lines += ["", f"## {title}", "", f"On {result[part]['processor']}.", "", table(header, rows)]
    return "\n".join(lines) + "\n"


def fidelity_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the fidelity table."""
    drop, low, high = (100 * each for each in (row["reference_top1"] - row["top1"], row["drop_low"], row["drop_high"]))
    return [
        row["network"],
        row["engine"],
        row["quantizer"],
        f"{row['top1']:.2%} ({row['reference_top1']:.2%})",
        interval(drop, low, high, show="{:+.2f}".format),
        f"{row['agreement']:.2%}",
        f"{row['rms_error']:.4f}",
        f"{row['ours_better']} / {row['theirs_better']}",
    ]


def processors_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the processors table."""
    where = [row["network"], row["weights"], row["engine"], row["processor"]]
    return [*where, f"{row['rms_error']:.4f}", f"{row['ratio']:.3f}", f"{row['agreement']:.1%}"]


def latency_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the latency table."""
    times = interval(row["median_ms"], row["lower_ms"], row["upper_ms"], show="{:.2f}".format)
    return [row["network"], row["engine"], row["quantizer"], times, f"{row['ratio']:.3f}"]


def calibration_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the calibration table."""
    return [row["tool"], row["method"], str(row["images"]), f"{row['seconds']:.1f}", f"{row['peak_mb']:.0f}"]


Cells = Callable[[dict[str, Any]], list[str]]
TABLES: dict[str, tuple[str, Sequence[str], Cells]] = {
    "fidelity": (
        "Fidelity: Fashion-MNIST, 10,000 test images, 300 calibration images",
        (
            *("network", "engine", "quantizer", "top-1 (FP32)", "drop, points", "agreement", "RMS error"),
            "agrees in ours only / in theirs only",
        ),
        fidelity_cells,
    ),
    "processors": (
        f"Other processors: {EMULATED} of those images, RMS error of the logits and its ratio to this machine's",
        ("network", "weights", "engine", "processor", "RMS error", "ratio", "agreement"),
        processors_cells,
    ),
    "latency": (
        "Latency: 224 × 224, batch 1, random weights, median [quartiles] ms, and its ratio to the faster peer's",
        ("network", "engine", "quantizer", "latency", "ratio"),
        latency_cells,
    ),
    "calibration": (
        "Calibration: ResNet-18 at 224 × 224, the whole process",
        ("tool", "method", "images", "seconds", "peak, MB"),
        calibration_cells,
    ),
}


if __name__ == "__main__":
    main()
