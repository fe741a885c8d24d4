"""Detects whether INT8 sums saturate on this machine, by running a small graph.

Processors with AVX2 or AVX-512 but without VNNI add two 8-bit products in a 16-bit register that saturates. Weights
within ±64 cannot saturate it; full-range weights can. The processor's features do not decide it: the engine chooses the
instructions, and under emulation `/proc/cpuinfo` is the host's. In the graph, every product has its largest value.
"""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from edgecnn.runtime.engines.engine import Engine, SessionOptions, device_kind

GRAPH = Path(__file__).with_name("saturation.onnx")
"""Written by scripts/saturation_graph.py. Its outputs, of a convolution and of a matrix product, are all 1."""
SHAPE = (1, 4, 4, 64)
"""Shape of the input."""
_EXACT = 0.99


def without_saturation(engine: Engine, options: SessionOptions) -> SessionOptions:
    """Return the options, with exact INT8 if sums saturate on this machine and the engine supports it."""
    if not engine.has_exact_int8 or not saturating(engine, options):
        return options
    return dataclasses.replace(options, exact_int8=True)


def saturating(engine: Engine, options: SessionOptions) -> tuple[str, ...]:
    """Return the INT8 operators that saturate on an engine and device: `convolution`, `matrix product`, or none.

    Sums saturate only on CPUs. The result is cached for the process.

    Raises:
        EngineError: the engine or the device is not available.
    """
    if device_kind(options.device) != "cpu":
        return ()
    return _saturating(type(engine), engine.name, options.device, options.exact_int8)


@cache
def _saturating(kind: type[Engine], name: str, device: str, exact: bool) -> tuple[str, ...]:
    session = kind().open(GRAPH, SessionOptions(device=device, threads=1, exact_int8=exact))
    try:
        sums = session.run(np.full(SHAPE, 255, np.uint8))[0]
    finally:
        session.close()
    half = len(sums) // 2
    parts = {"convolution": sums[:half], "matrix product": sums[half:]}
    return tuple(operator for operator, found in parts.items() if found.min() < _EXACT)
