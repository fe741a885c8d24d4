"""How many operations a second this machine computes at its best, as an engine reaches it.

A latency says nothing about how much is left to win; beside the peak it does: INT8 at 82 % of what this machine can.
The peak is measured, not worked out from clock and instructions: what a container and an engine's kernels leave of
those, nobody writes down. A packaged graph, a chain of convolutions that suits both engines, is run for it.
`python -m edgecnn.tuning.measuring.peak PRECISION THREADS` does so in a process of its own.
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
from edgecnn.runtime.engines.backend import Backend, Session, SessionOptions
from edgecnn.runtime.engines.backends import get_backend, installed

PeakPrecision = Literal["fp32", "bf16", "int8"]

_GRAPHS = Path(__file__).parent
"""`peak_fp32.onnx` and `peak_int8.onnx`, written by scripts/peak_graph.py."""
_SHAPE = (22, 22, 256)
_MACS = 693_633_024  # for one image: four convolutions, 3 × 3 × 256 to 256, to 20 × 20, 18 × 18, 16 × 16 and 14 × 14
_LEAST_RUNS = 3
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Peak:
    """The most operations a second that this machine computes, two for each multiply-accumulate, and the engine."""

    ops_per_s: float
    engine: str


def peak_apart(precision: PeakPrecision, threads: int) -> float | None:
    """Measure this machine's operations a second in a child process, which an engine may crash.

    Returns:
        None if no engine computes in that precision here.
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
    """Measure this machine's peak: the highest of the installed engines that compute in this precision here.

    Each engine is measured for about so many seconds.

    Raises:
        UsageError: there is no such number of threads.
        EngineMissing: no engine is installed.
        EngineError: no engine computes in this precision here.
    """
    peaks: list[Peak] = []
    refusal: EngineError = EngineMissing("no engine is installed that could show this machine's peak")
    for name in installed():
        try:
            peak = measure_peak(get_backend(name), precision=precision, threads=threads, seconds=seconds)
        except EngineError as error:
            refusal = error
        else:
            peaks.append(Peak(peak, name))
    if not peaks:
        raise refusal
    return max(peaks, key=lambda peak: peak.ops_per_s)


def measure_peak(backend: Backend, *, precision: PeakPrecision, threads: int, seconds: float = 0.5) -> float:
    """Measure how many operations a second an engine reaches on the CPU, two for each multiply-accumulate.

    The result is the best of many short runs, three at least: disturbances only make a run slower. Each thread has the
    work of one image. A processor that lowers its clock when it is hot does not hold this peak for minutes.

    Raises:
        UsageError: there is no such number of threads.
        PrecisionUnavailable: the engine does not compute in this precision here.
        EngineError: the engine failed.
    """
    if threads < 1:
        raise UsageError(f"threads must be at least 1, found {threads}")
    graph = _GRAPHS / ("peak_int8.onnx" if precision == "int8" else "peak_fp32.onnx")
    options = SessionOptions(precision="fp32" if precision == "int8" else precision, threads=threads)
    session = backend.open(graph, options)
    try:
        return 2 * _MACS * threads / _fastest(session, _images(threads), seconds)
    finally:
        session.close()


def _images(count: int) -> np.ndarray:
    """Return images of every level: a processor may draw less power, and clock higher, on numbers all alike."""
    return np.resize(np.arange(256, dtype=np.uint8), (count, *_SHAPE))


def _fastest(session: Session, images: np.ndarray, seconds: float) -> float:
    session.run(images)  # the first one prepares
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(images)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure the peak that the command line names, and print it on the last line; print nothing if that fails."""
    precision, threads = sys.argv[1:]
    try:
        found = machine_peak(precision, int(threads))  # type: ignore[arg-type]  # the parent has a typed one
    except EdgecnnError:
        return
    print(json.dumps(schema.plain(found)))  # noqa: T201  # it is the answer


if __name__ == "__main__":
    main()
