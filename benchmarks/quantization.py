"""INT8 by us and by ONNX Runtime and NNCF: fidelity, other processors, latency, calibration, in one run.

Fidelity: the five of the zoo on Fashion-MNIST, the same 300 calibration images, all 10,000 test images, on both
engines. Processors: our graphs of those, on emulated ones. Latency: 224 × 224, batch 1, random weights, all graphs on
one engine in turns. Calibration: ResNet-18 at 224 × 224, a process for each method and number of images. Writes
`results/quantization.json` and `.md`; each part replaces its own figures and says on which processor it ran.

    pip install nncf
    make zoo && python benchmarks/emulation.py
    python benchmarks/quantization.py [fidelity] [processors] [latency] [calibration]
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from quantization_calibration import calibration
from quantization_zoo import EMULATED, ENGINES, fidelity, processors
from quantizers import QUANTIZERS
from realistic import random_graph

from edgecnn.host.processor import processor
from edgecnn.pipeline.proving import temporary_graph
from edgecnn.pipeline.versions import versions
from edgecnn.runtime.engines.backend import Session, SessionOptions
from edgecnn.runtime.engines.backends import get_backend
from edgecnn.tuning.measuring.turn import InProcess, interleave

RESULT = Path(__file__).parent / "results" / "quantization.json"
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
                    sessions[quantizer] = get_backend(engine).open(path, SessionOptions())
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
    """Time sessions in turns; returns of each the quartiles of one run in milliseconds."""
    turns = interleave([InProcess(each, images) for each in sessions.values()], rounds=_ROUNDS, seconds=_TURN_S)
    found = {}
    for name, took in zip(sessions, turns, strict=True):
        times = [time for turn in took for time in turn.times_ms]
        lower, median, upper = np.percentile(times, [25, 50, 75])
        found[name] = {"median_ms": median, "lower_ms": lower, "upper_ms": upper, "runs": len(times)}
    return found


PARTS = {"fidelity": fidelity, "processors": processors, "latency": latency, "calibration": calibration}


def main() -> None:
    """Measure the parts that are named, or all."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result["versions"] = versions()
    for part in sys.argv[1:] or PARTS:
        result[part] = {"processor": this_processor(), "rows": PARTS[part]()}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(page(result))


def this_processor() -> str:
    """Return the processor's name and its instruction sets."""
    found = processor()
    return ", ".join((found.name, *found.features))


def page(result: dict[str, Any]) -> str:
    """Write the tables of the parts that were measured."""
    lines = ["# INT8 by edgecnn, ONNX Runtime and NNCF", "", "Written by `benchmarks/quantization.py`."]
    for part, (title, header, cells) in TABLES.items():
        if part in result:
            rows = [cells(row) for row in result[part]["rows"]]
            lines += ["", f"## {title}", "", f"On {result[part]['processor']}.", "", *table(header, rows)]
    return "\n".join(lines) + "\n"


def fidelity_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of fidelity."""
    low, high = row["drop_low"] * 100, row["drop_high"] * 100
    return (
        f"{row['network']} | {row['engine']} | {row['quantizer']} | {row['top1']:.2%} ({row['reference_top1']:.2%}) "
        f"| {(row['reference_top1'] - row['top1']) * 100:+.2f} [{low:.2f}, {high:.2f}] | {row['agreement']:.2%} "
        f"| {row['rms_error']:.4f} | {row['ours_better']} / {row['theirs_better']}"
    )


def processors_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of processors."""
    return (
        f"{row['network']} | {row['weights']} | {row['engine']} | {row['processor']} "
        f"| {row['rms_error']:.4f} | {row['ratio']:.3f} | {row['agreement']:.1%}"
    )


def latency_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of latencies."""
    return (
        f"{row['network']} | {row['engine']} | {row['quantizer']} "
        f"| {row['median_ms']:.2f} [{row['lower_ms']:.2f}, {row['upper_ms']:.2f}] | {row['ratio']:.3f}"
    )


def calibration_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of calibration."""
    return f"{row['tool']} | {row['method']} | {row['images']} | {row['seconds']:.1f} | {row['peak_mb']:.0f}"


TABLES = {
    "fidelity": (
        "Fidelity: Fashion-MNIST, 10,000 test images, 300 calibration images",
        "network | engine | quantizer | top-1 (FP32) | drop, points | agreement | RMS error "
        "| only ours / only theirs agrees",
        fidelity_cells,
    ),
    "processors": (
        f"Other processors: {EMULATED} of those images, RMS error of the logits and its ratio to this machine's",
        "network | weights | engine | processor | RMS error | ratio | agreement",
        processors_cells,
    ),
    "latency": (
        "Latency: 224 × 224, batch 1, random weights, median [quartiles] ms, and its ratio to the faster peer's",
        "network | engine | quantizer | latency | ratio",
        latency_cells,
    ),
    "calibration": (
        "Calibration: ResNet-18 at 224 × 224, the whole process",
        "tool | method | images | seconds | peak, MB",
        calibration_cells,
    ),
}


def table(header: str, rows: list[str]) -> list[str]:
    """Return the lines of a Markdown table whose cells are parted by bars already."""
    rule = "---|" * (header.count("|") + 1)
    return [f"| {header} |", f"|{rule}", *(f"| {row} |" for row in rows)]


if __name__ == "__main__":
    main()
