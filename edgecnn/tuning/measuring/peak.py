"""Measures this machine's peak: the most operations per second that an engine reaches.

The peak shows how much faster a network could become: for example, that INT8 already runs at 82 % of it. It is measured
because it cannot be computed from clock rate and instructions: containers and kernels reduce it by an unknown factor.
The measurement runs a packaged graph, a chain of convolutions that is fast on both engines.
`python -m edgecnn.tuning.measuring.peak PRECISION THREADS` measures it in a separate process.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgecnn.errors import EdgecnnError, EngineError, EngineMissing, UsageError
from edgecnn.files import schema
from edgecnn.host.child import child_command, child_environment
from edgecnn.runtime.engines.engine import Engine, Session, SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed

PeakPrecision = Literal["fp32", "bf16", "int8"]

_GRAPHS = Path(__file__).parent
"""`peak_fp32.onnx` and `peak_int8.onnx`, written by scripts/peak_graph.py."""
_SHAPE = (22, 22, 256)
_MACS = 693_633_024  # for one image: four convolutions, 3 × 3 × 256 to 256, to 20 × 20, 18 × 18, 16 × 16 and 14 × 14
_LEAST_RUNS = 3
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Peak:
    """The peak in operations per second, two for each multiply-accumulate, and the engine that reached it."""

    ops_per_s: float
    engine: str


def peak_apart(precision: PeakPrecision, threads: int) -> float | None:
    """Measure the peak in a child process, because an engine may crash.

    Returns:
        Operations per second, or None if no engine supports the precision here.
    """
    command = child_command("edgecnn.tuning.measuring.peak", precision, str(threads))
    try:
        done = subprocess.run(
            command, env=child_environment(), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        return schema.parse(Peak, done.stdout.splitlines()[-1]).ops_per_s if done.stdout else None
    except (subprocess.TimeoutExpired, schema.SchemaError):
        return None


def machine_peak(precision: PeakPrecision, threads: int, *, seconds: float = 0.5) -> Peak:
    """Measure this machine's peak: the highest of all installed engines that support the precision.

    Each engine runs for about `seconds`.

    Raises:
        UsageError: threads are below 1.
        EngineMissing: no engine is installed.
        EngineError: no engine supports the precision here.
    """
    peaks: list[Peak] = []
    refusal: EngineError = EngineMissing("no engine is installed: install one to measure the peak")
    for name in installed():
        try:
            peak = measure_peak(get_engine(name), precision=precision, threads=threads, seconds=seconds)
        except EngineError as error:
            refusal = error
        else:
            peaks.append(Peak(peak, name))
    if not peaks:
        raise refusal
    return max(peaks, key=lambda peak: peak.ops_per_s)


def measure_peak(engine: Engine, *, precision: PeakPrecision, threads: int, seconds: float = 0.5) -> float:
    """Measure the operations per second that an engine reaches on the CPU, two for each multiply-accumulate.

    The result is the best of at least three short runs, because disturbances only make a run slower. Each thread gets
    the work of one image. A processor that throttles when it is hot cannot sustain this peak for minutes.

    Raises:
        UsageError: threads are below 1.
        PrecisionUnavailable: the engine does not support the precision here.
        EngineError: the engine failed.
    """
    if threads < 1:
        raise UsageError(f"threads must be at least 1, found {threads}")
    graph = _GRAPHS / ("peak_int8.onnx" if precision == "int8" else "peak_fp32.onnx")
    options = SessionOptions(precision="fp32" if precision == "int8" else precision, threads=threads)
    session = engine.open(graph, options)
    try:
        return 2 * _MACS * threads / _fastest(session, _images(threads), seconds)
    finally:
        session.close()


def _images(count: int) -> np.ndarray:
    """Return images with all levels: with uniform data a processor can use less power and clock higher."""
    return np.resize(np.arange(256, dtype=np.uint8), (count, *_SHAPE))


def _fastest(session: Session, images: np.ndarray, seconds: float) -> float:
    session.run(images)  # warm-up
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(images)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the peak for the precision and threads on the command line, or nothing if measuring fails."""
    precision, threads = sys.argv[1:]
    try:
        found = machine_peak(precision, int(threads))  # type: ignore[arg-type]  # the parent passes a valid precision
    except EdgecnnError:
        return
    print(json.dumps(schema.plain(found)))  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    main()
