"""Answers of edgecnn's INT8 graphs on other processors, for `compare.py`."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx

from benchmarks.devices.emulation import HASWELL, PROCESSORS, emulated_logits
from benchmarks.devices.findings import rms_error
from benchmarks.quantization.networks import Network, logits_on
from benchmarks.quantization.quantizers import ours
from edgecnn.pipeline.proving import temporary_graph
from edgecnn.pipeline.quantization.simulation import SimulatedSession
from edgecnn.pipeline.quantization.trial import trial_logits

EMULATED = 200
"""Number of test images on an emulated processor."""


@dataclass(frozen=True)
class Elsewhere:
    """One of edgecnn's INT8 graphs on one processor.

    Attributes:
        weights: `portable` (at most 64) or `full range` (at most 127).
        processor: this machine, an emulated one, or the simulation.
        rms_error: of the logits against the FP32 reference.
        ratio: that error divided by this machine's on the same engine; ONNX Runtime's sums are exact here.
        agreement: with the reference, as a fraction.
    """

    network: str
    weights: str
    processor: str
    engine: str
    rms_error: float
    ratio: float
    agreement: float


def processors(networks: Iterable[Network]) -> list[dict[str, Any]]:
    """Run edgecnn's graphs on emulated processors; full-range ones on the processor that saturates and simulated."""
    rows = []
    missing = [f"{processor.name}: {processor.missing()}" for processor in PROCESSORS if processor.missing()]
    if missing:
        sys.exit(f"error: {'; '.join(missing)}")
    for network in networks:
        for weights in ("portable", "full range"):
            graph = ours(network.model, network.calibration, full_range=weights == "full range")
            for row in graph_elsewhere(network, graph, weights=weights):
                print(row, flush=True)
                rows.append(asdict(row))
    return rows


def graph_elsewhere(network: Network, graph: onnx.ModelProto, *, weights: str) -> Iterator[Elsewhere]:
    """Measure one graph on this machine and on the other processors."""
    pixels, expected = network.pixels[:EMULATED], network.logits[:EMULATED]

    def row(processor: str, engine: str, logits: np.ndarray) -> Elsewhere:
        agreement = float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean())
        error = rms_error(logits, expected)
        return Elsewhere(network.name, weights, processor, engine, error, error / here[engine], agreement)

    found = {"onnxruntime": trial_logits(graph, pixels), "openvino": logits_on("openvino", graph, pixels=pixels)}
    here = {engine: rms_error(logits, expected) for engine, logits in found.items()}
    for engine, logits in found.items():
        yield row("this machine", engine, logits)
        for processor in PROCESSORS if weights == "portable" else (HASWELL,):
            if engine == "onnxruntime" or processor.machine == "x86_64":  # the ARM file system has one engine
                with temporary_graph(graph.SerializeToString()) as path:
                    there = emulated_logits(processor, path, images=pixels, engine=engine)
                yield row(processor.about, engine, there)
    if weights == "full range":
        yield row("simulated AVX2, no VNNI", "onnxruntime", SimulatedSession(graph).run(pixels))
