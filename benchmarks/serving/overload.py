"""Measure a server that gets ten times more requests than it can answer."""

from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.serving import requests
from benchmarks.serving.open_loop import Outcome, load
from benchmarks.serving.page import claim, median, over
from benchmarks.serving.recipes import SERVING, edgecnn
from benchmarks.serving.server import Server
from benchmarks.serving.ways import bundle_of, expected, fastest
from benchmarks.serving.wrk import Wrk
from edgecnn.files.schema import plain
from edgecnn.tuning.measuring.estimates import ratio
from edgecnn.tuning.measuring.turn import Turn

TIMES = 10
LEAST_OF_PEAK, MOST_REFUSAL_MS = 0.9, 20.0
_FACTORS = (1, TIMES)
_QUEUE = 32
_WARM_S = 3


def overload(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure the peak, and the throughput under overload, in turns, on one server."""
    bundle = bundle_of("resnet50", "int8")
    setting, image = fastest(bundle.path), bundle.self_test().images[:1]
    options = ("--threads", str(setting.threads), "--instances", str(setting.instances), "--engine", setting.engine)
    recipe = edgecnn(bundle.path, *options, "--max-batch", str(setting.batch), "--max-queue", str(_QUEUE))
    request = requests.v2_binary(bundle.manifest.name, image)
    peaks: list[Turn] = []
    outcomes: dict[int, list[Outcome]] = {factor: [] for factor in _FACTORS}
    with Server(recipe, SERVING / "logs" / "overload.log") as server:
        tolerance = bundle.self_test().tolerance
        np.testing.assert_allclose(request.send(server.port), expected(bundle, image), rtol=0, atol=tolerance)
        wrk = Wrk(request, server.port, SERVING / "wrk")
        wrk.run(_WARM_S)
        for number in range(rounds):
            peaks.append(wrk.turn(seconds))
            peak_per_s = wrk.loads[-1].per_s
            for factor in _FACTORS:
                rate = peak_per_s * factor
                outcomes[factor].append(load(server.port, request.wire(), rate=rate, seconds=seconds, seed=number))
            print(f"round {number + 1}/{rounds}", flush=True)
    rows: list[dict[str, Any]] = [
        {
            "name": "peak: 16 connections that wait for their answers",
            "goodput_per_s": median([each.per_s for each in wrk.loads]),
            "accepted_p50_ms": median([each.p50_ms for each in wrk.loads]),
            "accepted_p99_ms": median([each.p99_ms for each in wrk.loads]),
        }
    ]
    rows += [_row(f"{factor} × the peak", taken, peaks) for factor, taken in outcomes.items()]
    # An accepted request waits for a full queue, including itself, and for the current runs, at the lowest permitted
    # speed.
    images = _QUEUE + setting.batch * setting.instances
    bounds_ms = [images / (LEAST_OF_PEAK * each.per_s) * 1e3 for each in wrk.loads]
    return {
        "setting": plain(setting),
        "max_queue": _QUEUE,
        "rows": rows,
        "claims": _claims(rows[-1], outcomes[TIMES], bounds_ms),
        "rounds": rounds,
        "seconds": seconds,
    }


def _row(name: str, outcomes: list[Outcome], peaks: list[Turn]) -> dict[str, Any]:
    goodput = [Turn((), each.in_time, each.seconds) for each in outcomes]
    found: dict[str, Any] = {
        "name": name,
        "offered_per_s": median([each.sent / each.seconds for each in outcomes]),
        "goodput_per_s": median([each.in_time / each.seconds for each in outcomes]),
        "over_peak": over(goodput, peaks),
        "client_cores": median([each.client_cores for each in outcomes]),
        "broken": sum(each.broken + sum(each.others.values()) for each in outcomes),
        "unsent": sum(each.unsent for each in outcomes),
    }
    for kind in ("refused", "accepted"):
        times = [getattr(each, f"{kind}_ms") for each in outcomes]
        if all(times):
            for percentile in (50, 99):
                found[f"{kind}_p{percentile}_ms"] = median([float(np.percentile(each, percentile)) for each in times])
    return found


def _claims(row: dict[str, Any], outcomes: list[Outcome], bounds_ms: list[float]) -> list[dict[str, Any]]:
    crowd = f"Overload, {row['name']}"
    found = [claim(f"{crowd}: results/s over the peak's", row["over_peak"], least=LEAST_OF_PEAK)]
    if "refused_p50_ms" in row:
        found.append(claim(f"{crowd}: 503, median ms", row["refused_p50_ms"], most=MOST_REFUSAL_MS))
    if "accepted_p99_ms" in row:
        p99_ms = [float(np.percentile(each.accepted_ms, 99)) for each in outcomes]
        text = f"{crowd}: p99 of results over the time of a full queue"
        found.append(claim(text, asdict(ratio(p99_ms, bounds_ms)), most=1.0))
    return found
