"""Does INT8 on this machine add up exactly? Ask the engine, not the processor's list of features.

Processors with AVX2 or AVX-512 but without VNNI add two products of 8 bits in a register of 16 that saturates. Weights
within ±64 cannot reach its end; those of the full range can. Which instructions an engine takes is its own affair (and
under emulation `/proc/cpuinfo` is the host's), so a small graph whose every product is the largest is run through it.
"""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from edgecnn.runtime.engines.backend import Backend, SessionOptions, device_kind

GRAPH = Path(__file__).with_name("saturation.onnx")
"""Written by scripts/saturation_graph.py: the outputs of a convolution and of a matrix product, every one of them 1."""
SHAPE = (1, 4, 4, 64)
"""Of the images that it takes."""
_EXACT = 0.99


def without_saturation(backend: Backend, options: SessionOptions) -> SessionOptions:
    """Return the options, asking for exact sums where INT8 saturates on this machine and the engine can help it."""
    if not backend.has_exact_int8 or not saturating(backend, options):
        return options
    return dataclasses.replace(options, exact_int8=True)


def saturating(backend: Backend, options: SessionOptions) -> tuple[str, ...]:
    """Say which INT8 operators saturate on an engine and device here: `convolution`, `matrix product`, or none.

    Only CPUs do. The answer is found once a process.

    Raises:
        EngineError: the engine, or the device, is not there.
    """
    if device_kind(options.device) != "cpu":
        return ()
    return _saturating(type(backend), backend.name, options.device, options.exact_int8)


@cache
def _saturating(kind: type[Backend], name: str, device: str, exact: bool) -> tuple[str, ...]:
    session = kind().open(GRAPH, SessionOptions(device=device, threads=1, exact_int8=exact))
    try:
        sums = session.run(np.full(SHAPE, 255, np.uint8))[0]
    finally:
        session.close()
    half = len(sums) // 2
    parts = {"convolution": sums[:half], "matrix product": sums[half:]}
    return tuple(operator for operator, found in parts.items() if found.min() < _EXACT)
