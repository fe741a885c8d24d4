"""Measure the time from a cold process's start to its first answer, without and with a cached graph.

For `runtime.py`. The files are in the system's page cache, as after an earlier start of a service.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from benchmarks.common.results import REPOSITORY
from benchmarks.engines.bundles import RUNTIME, prepared
from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.choices import ENGINES
from edgecnn.tuning.measuring.estimates import ratio

CLAIM = 2.0
"""Claimed speed-up of the second start of VGG-16 with the cached graph."""

NETWORKS = (("vgg16", "fp32"), ("vgg16", "int8"), ("resnet50", "int8"), ("lenet", "int8"))
NONE, FIRST, SECOND = "none", "first start, writes it", "second start, reads it"
STEPS = ("interpreter_s", "imports_s", "open_bundle_s", "import_engine_s", "open_session_s", "first_run_s")
_ROUNDS = 3
_CHILD = "benchmarks.engines.cold_start"
_CACHE = RUNTIME / "cache"


def startup() -> list[dict[str, Any]]:
    """Start every case in turns, in a different order each round."""
    bundles = {case: prepared(*case) for case in NETWORKS}
    cases = [(*case, engine) for case in NETWORKS for engine in ENGINES]
    found: dict[tuple[str, str, str], list[dict[str, dict[str, float]]]] = {case: [] for case in cases}
    shuffle = random.Random(0).shuffle  # noqa: S311  # no secret: an order that can be repeated
    for turn in range(_ROUNDS + 1):
        shuffle(cases)
        for network, precision, engine in cases:
            starts = _starts(bundles[network, precision], engine)
            if turn:  # the first round fills the page cache
                found[network, precision, engine].append(starts)
        print(f"startup: {turn} of {_ROUNDS} rounds", flush=True)
    return [row for case, taken in found.items() for row in _rows(case, taken)]


def _starts(bundle: Bundle, engine: str) -> dict[str, dict[str, float]]:
    """Start without the cache, with an empty cache, and with the cache of that start."""
    shutil.rmtree(_CACHE, ignore_errors=True)
    try:
        starts = {NONE: _start(bundle, engine, "uncached"), FIRST: _start(bundle, engine, "cached")}
        kept = sum(file.stat().st_size for file in _CACHE.rglob("*") if file.is_file())
        starts[SECOND] = {**_start(bundle, engine, "cached"), "cache_bytes": kept}
        return starts
    finally:
        shutil.rmtree(_CACHE, ignore_errors=True)


def _start(bundle: Bundle, engine: str, cached: str) -> dict[str, float]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(_CACHE)}
    arguments = [str(bundle.path), engine, cached, repr(time.monotonic())]
    command = [sys.executable, "-m", _CHILD, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _rows(case: tuple[str, str, str], taken: list[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    network, precision, engine = case
    without = [starts[NONE]["seconds"] for starts in taken]
    return [
        {"network": network, "precision": precision, "engine": engine, "cache": cache, "starts": len(taken)}
        | {name: statistics.median(starts[cache][name] for starts in taken) for name in taken[0][cache]}
        | {"times_as_fast": asdict(ratio(without, [starts[cache]["seconds"] for starts in taken]))}
        for cache in (NONE, FIRST, SECOND)
    ]
