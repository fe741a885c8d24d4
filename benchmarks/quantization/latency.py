"""Latency of INT8 graphs and of FP32 on both engines, in turns, for `compare.py`."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx

from benchmarks.common.random_networks import random_graph
from benchmarks.quantization.networks import ENGINES, TORCHVISION, Selection
from benchmarks.quantization.quantizers import DISTINCT, QUANTIZERS
from benchmarks.quantization.third_party import third_party
from edgecnn.pipeline.proving import temporary_graph
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.engines.registry import get_engine
from edgecnn.tuning.measuring.turn import InProcess, interleave

NETWORKS = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet50", *TORCHVISION)
_ROUNDS, _TURN_S = 25, 0.2
_CALIBRATION = 8

Graph = tuple[str, onnx.ModelProto, np.ndarray]
"""A name, an FP32 graph and images, uint8 [N, H, W, C]."""


def graphs(selection: Selection) -> Iterator[Graph]:
    """Return networks with random weights at 224 × 224, and the third party's graphs at their size."""
    for name in filter(selection.__contains__, NETWORKS):
        yield name, *random_graph(f"torchvision:{name}" if name in TORCHVISION else name)
    for network in third_party(selection):
        yield network.name, network.model, network.calibration


def latency(networks: Iterable[Graph]) -> list[dict[str, Any]]:
    """Time every quantizer's graph on every engine, in turns."""
    rows = []
    for name, model, pixels in networks:
        found_graphs = {"fp32": model}
        found_graphs |= {each: QUANTIZERS[each](model, pixels[:_CALIBRATION]) for each in DISTINCT}
        for engine in ENGINES:
            sessions: dict[str, Session] = {}
            for quantizer, graph in found_graphs.items():
                with temporary_graph(graph.SerializeToString()) as path:
                    sessions[quantizer] = get_engine(engine).open(path, SessionOptions())
            found = quartiles(sessions, pixels[:1])
            best = min(found[peer]["median_ms"] for peer in found if peer not in ("fp32", "edgecnn"))
            for quantizer, times in found.items():
                ratios = {
                    "ratio": times["median_ms"] / best,
                    "of_fp32": times["median_ms"] / found["fp32"]["median_ms"],
                }
                rows.append({"network": name, "engine": engine, "quantizer": quantizer, **times, **ratios})
            print(
                f"{name} on {engine}: ours {found['edgecnn']['median_ms']:.2f} ms, best peer {best:.2f} ms, "
                f"FP32 {found['fp32']['median_ms']:.2f} ms",
                flush=True,
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
