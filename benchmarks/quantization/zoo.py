"""Fidelity of the zoo's INT8 graphs compared with other quantizers, and their answers on other processors.

For `compare.py`. Fashion-MNIST, the same 300 calibration images for all. The reference's answers come from the FP32
bundle; `export` has checked them to within 1e-4 of the spread.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.devices.emulation import HASWELL, PROCESSORS, emulated_logits
from benchmarks.devices.findings import rms_error
from benchmarks.quantization.quantizers import QUANTIZERS, ours
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.proving import temporary_graph
from edgecnn.pipeline.quantization.calibration_config import choose
from edgecnn.pipeline.quantization.simulation import SimulatedSession
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine
from edgecnn.runtime.verification.paired import paired_drop

ZOO = Path("zoo")
NETWORKS = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18")
ENGINES = ("onnxruntime", "openvino")
CALIBRATION = 300
EMULATED = 200
"""Number of test images on an emulated processor."""


@dataclass(frozen=True)
class Trained:
    """A network of the zoo, exported.

    Attributes:
        name: of the architecture.
        model: the FP32 graph.
        calibration: uint8 [300, H, W, C].
        pixels: uint8 [10,000, H, W, C], the test images.
        targets: int64 [10,000].
        logits: float32 [10,000, K], the reference's.
    """

    name: str
    model: onnx.ModelProto
    calibration: np.ndarray
    pixels: np.ndarray
    targets: np.ndarray
    logits: np.ndarray


def trained() -> Iterator[Trained]:
    """Export the networks that `make zoo` has trained, one after the other."""
    source = open_source("fashion-mnist")
    for name in NETWORKS:
        checkpoint = ZOO / f"{name}-fashion-mnist"
        if not checkpoint.is_dir():
            print(f"{name}: skipped, make zoo has not trained it", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            parent = export(read_checkpoint(checkpoint).reference, Path(folder) / "fp32")
            model, preprocessing = onnx.load(str(parent.model)), parent.manifest.preprocessing
        test = source.split("test")
        pixels = test.all_pixels(preprocessing)
        calibration = choose(source.split("train"), CALIBRATION, 0).all_pixels(preprocessing)
        yield Trained(name, model, calibration, pixels, test.known_targets(), trial_logits(model, pixels))


@dataclass(frozen=True)
class Fidelity:
    """One quantizer's graph on one engine: compared with the FP32 reference, and pairwise with edgecnn's graph.

    Attributes:
        ours_better: images on which only edgecnn's graph agrees with the reference.
        theirs_better: images on which only this graph does.
    """

    network: str
    quantizer: str
    engine: str
    top1: float
    reference_top1: float
    agreement: float
    rms_error: float
    drop_low: float
    drop_high: float
    ours_better: int
    theirs_better: int


def fidelity() -> list[dict[str, Any]]:
    """Measure the fidelity of every quantizer."""
    rows = []
    for network in trained():
        expected = network.logits.argmax(axis=1)
        right = expected == network.targets
        agrees: dict[str, np.ndarray] = {}
        for quantizer, quantize in QUANTIZERS.items():
            graph = quantize(network.model, network.calibration)
            for engine in ENGINES:
                logits = logits_on(engine, graph, pixels=network.pixels)
                answers = logits.argmax(axis=1)
                same = answers == expected
                agrees.setdefault(engine, same)
                drop = paired_drop(right, answers == network.targets)
                rows.append(
                    Fidelity(
                        network.name,
                        quantizer,
                        engine,
                        float((answers == network.targets).mean()),
                        float(right.mean()),
                        float(same.mean()),
                        rms_error(logits, network.logits),
                        drop.low,
                        drop.high,
                        int((agrees[engine] & ~same).sum()),
                        int((same & ~agrees[engine]).sum()),
                    )
                )
                print(rows[-1], flush=True)
    return [asdict(row) for row in rows]


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


def processors() -> list[dict[str, Any]]:
    """Run edgecnn's graphs on emulated processors; full-range ones on the processor that saturates and simulated."""
    rows = []
    missing = [f"{processor.name}: {processor.missing()}" for processor in PROCESSORS if processor.missing()]
    if missing:
        sys.exit(f"error: {'; '.join(missing)}")
    for network in trained():
        for weights in ("portable", "full range"):
            graph = ours(network.model, network.calibration, full_range=weights == "full range")
            for row in graph_elsewhere(network, graph, weights=weights):
                print(row, flush=True)
                rows.append(asdict(row))
    return rows


def graph_elsewhere(network: Trained, graph: onnx.ModelProto, *, weights: str) -> Iterator[Elsewhere]:
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


def logits_on(engine: str, graph: onnx.ModelProto, *, pixels: np.ndarray) -> np.ndarray:
    """Run a graph on an engine with its defaults, without exact INT8."""
    with temporary_graph(graph.SerializeToString()) as path:
        session = get_engine(engine).open(path, SessionOptions())
        try:
            return run_batches(session, pixels, classes=10)
        finally:
            session.close()
