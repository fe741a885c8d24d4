"""One cold start, and where its time goes: for `runtime_startup.py`, which runs this file as a process of its own.

It imports nothing before it is told to, so that what an import costs stands beside its name.

    python benchmarks/runtime_cold_start.py BUNDLE ENGINE cached|uncached MONOTONIC_TIME_OF_ITS_START
"""

import importlib
import json
import sys
import time
from pathlib import Path


def start(folder: str, engine: str, *, cached: bool, begun: float) -> dict[str, float]:
    """Open a bundle and answer one image; returns the seconds of each step, and the peak of memory in bytes."""
    marks = {"interpreter_s": time.monotonic()}
    np = importlib.import_module("numpy")
    store = importlib.import_module("edgecnn.bundle.store")
    opening = importlib.import_module("edgecnn.runtime.opening")
    marks["imports_s"] = time.monotonic()
    bundle = store.open_bundle(folder)
    marks["open_bundle_s"] = time.monotonic()
    importlib.import_module(f"edgecnn.runtime.{engine}")
    marks["import_engine_s"] = time.monotonic()
    session = opening.open_session(bundle, backend=engine, cache=cached)
    marks["open_session_s"] = time.monotonic()
    session.run(np.full((1, *bundle.manifest.image_shape), 128, np.uint8))
    marks["first_run_s"] = time.monotonic()
    ends = [begun, *marks.values()]
    steps = {step: ends[index + 1] - ends[index] for index, step in enumerate(marks)}
    return {**steps, "seconds": ends[-1] - begun, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> float:
    # Not getrusage: a child's begins with its parent's.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    print(json.dumps(start(sys.argv[1], sys.argv[2], cached=sys.argv[3] == "cached", begun=float(sys.argv[4]))))
