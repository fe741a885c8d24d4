"""Measure the steps of one cold start, in its own process, for `startup.py`.

The module imports nothing at its top, so that the cost of each import is measured.

    python -m benchmarks.engines.cold_start BUNDLE ENGINE cached|uncached MONOTONIC_TIME_OF_ITS_START
"""

import importlib
import json
import sys
import time


def start(folder: str, engine: str, *, cached: bool, begun: float) -> dict[str, float]:
    """Open a bundle and classify one image; return the seconds of each step, and peak memory in bytes."""
    marks = {"interpreter_s": time.monotonic()}
    np = importlib.import_module("numpy")
    store = importlib.import_module("edgecnn.bundle.store")
    opening = importlib.import_module("edgecnn.runtime.opening")
    marks["imports_s"] = time.monotonic()
    bundle = store.open_bundle(folder)
    marks["open_bundle_s"] = time.monotonic()
    importlib.import_module(f"edgecnn.runtime.engines.{engine}")
    marks["import_engine_s"] = time.monotonic()
    session = opening.open_session(bundle, engine=engine, cache=cached)
    marks["open_session_s"] = time.monotonic()
    session.run(np.full((1, *bundle.manifest.image_shape), 128, np.uint8))
    marks["first_run_s"] = time.monotonic()
    proc = importlib.import_module("benchmarks.common.proc")
    ends = [begun, *marks.values()]
    steps = {step: ends[index + 1] - ends[index] for index, step in enumerate(marks)}
    return {**steps, "seconds": ends[-1] - begun, "peak_bytes": proc.peak_mb() * 1e6}


if __name__ == "__main__":
    print(json.dumps(start(sys.argv[1], sys.argv[2], cached=sys.argv[3] == "cached", begun=float(sys.argv[4]))))
