"""Operators of edgecnn's INT8 graphs that run in INT8 on each engine, for `compare.py`."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from benchmarks.common.engine_graphs import on_onnx_runtime, on_openvino
from benchmarks.quantization.networks import ENGINES, Network
from benchmarks.quantization.quantizers import ours

_INTEGER = ("QLinear", "QGemm", "NhwcMaxPool")
"""Beginnings of the names of ONNX Runtime's INT8 operators."""

_MOVES = frozenset({"Transpose", "Reshape", "Cast", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
"""Operators of ONNX Runtime that compute nothing."""


def operators(networks: Iterable[Network]) -> list[dict[str, Any]]:
    """Count the operators of each network's INT8 graph on each engine."""
    rows = []
    for network in networks:
        graph = ours(network.model, network.calibration)
        for engine in ENGINES:
            found = layers_on(engine, graph)
            counts = {
                key: {kind: count for (kind, integer), count in sorted(found.items()) if integer == wanted}
                for key, wanted in (("int8", True), ("float", False))
            }
            rows.append({"network": network.name, "engine": engine, **counts})
            print(rows[-1], flush=True)
    return rows


def layers_on(engine: str, graph: onnx.ModelProto) -> Counter[tuple[str, bool]]:
    """Return the layers of an engine's optimised graph, and whether they compute in INT8: a conversion does not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(graph, str(path))
        found: Counter[tuple[str, bool]] = Counter()
        if engine == "openvino":
            for (kind, integer), count in on_openvino(path).items():
                found[kind, integer and kind != "Convert"] += count
        else:
            for kind, count in on_onnx_runtime(path, Path(folder)).items():
                if kind not in _MOVES:
                    found[kind, kind.startswith(_INTEGER)] += count
    return found
