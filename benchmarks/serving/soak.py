"""Run `edgecnn serve` for many minutes under good, bad, slow and cancelled requests; check resources and counters.

Memory, descriptors and threads of the supervisor and its worker are sampled all the time. They are also measured
without clients, at the end and after a short warm-up that fills pools. The counters of `/metrics` must balance, and
agree with the clients' counts. Writes the data and `results/soak.md`.

    python -m benchmarks.serving.soak [--minutes 20]
"""

import asyncio
import re
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.common.proc import descriptors, memory_mb, threads
from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import cell, interval, table, where
from benchmarks.serving.recipes import SERVING, edgecnn
from benchmarks.serving.server import Server
from benchmarks.serving.soak_clients import Crowd
from benchmarks.serving.ways import bundle_of
from edgecnn.files.schema import plain
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.estimates import HIGH, LOW, RESAMPLES

_WARM_S, _QUIET_S = 10.0, 4.0
_SAMPLES, _LEAST_SAMPLE_S = 240, 0.5
_SETTLED = 0.25
"""Share of the time in which memory may still grow, because allocators and caches fill."""
_BLOCKS = 12
_NOISE = 0.01
"""Share of the memory below which growth is ignored."""
_TIMEOUTS = ("--header-timeout-s", "1", "--body-timeout-s", "1", "--max-body-mb", "4")
_COUNTER = re.compile(r"^edgecnn_requests_(?P<name>\w+?)(?:_total)?\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


def soak(minutes: float) -> dict[str, Any]:
    """Run the soak, and return all measurements."""
    bundle = bundle_of("lenet", "fp32")
    recipe = edgecnn(bundle.path, "--engine", "onnxruntime", "--threads", "1", *_TIMEOUTS)
    with Server(recipe, SERVING / "logs" / "soak.log") as server:
        started = look(server, 0.0)
        crowd = Crowd(server.port, bundle.manifest.name, bundle.self_test())
        asyncio.run(crowd.run(_WARM_S))
        time.sleep(_QUIET_S)
        before = look(server, 0.0)
        samples: list[dict[str, Any]] = []
        asyncio.run(_watched(crowd, server, minutes * 60, samples))
        time.sleep(_QUIET_S)
        after = look(server, minutes * 60)
        counters = read_counters(server.port)
    return {
        "minutes": minutes,
        "started": started,
        "before": before,
        "after": after,
        "answers": {kind: dict(found) for kind, found in crowd.answers.items()},
        "unexpected": crowd.unexpected,
        "counters": counters,
        "balance": balance(counters),
        "verdicts": verdicts(before, after, samples, counters) | {"expected_answers": not crowd.unexpected},
        "memory": growth(samples),
        "samples": samples,
    }


async def _watched(crowd: Crowd, server: Server, seconds: float, samples: list[dict[str, Any]]) -> None:
    start = time.monotonic()
    clients = asyncio.create_task(crowd.run(seconds))
    pause = max(_LEAST_SAMPLE_S, seconds / _SAMPLES)
    while not clients.done():
        await asyncio.wait([clients], timeout=pause)
        if not clients.done():
            samples.append(look(server, time.monotonic() - start))
    await clients


def look(server: Server, seconds: float) -> dict[str, Any]:
    """Return the resources of the server's processes."""
    pids = server.pids()
    resident, shared = server.memory_mb()
    return {
        "seconds": seconds,
        "pids": pids,
        "resident_mb": resident,
        "pss_mb": shared,
        "worker_mb": max(memory_mb(pid)[0] for pid in pids),
        "descriptors": sum(descriptors(pid) for pid in pids),
        "threads": sum(threads(pid) for pid in pids),
    }


def read_counters(port: int) -> dict[str, float]:
    """Return the counters of requests, with failures by reason."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:  # from our own server
        page = answer.read().decode()
    found: dict[str, float] = {}
    for match in _COUNTER.finditer(page):
        reason = re.search(r'reason="(\w+)"', match["labels"])
        name = f"{match['name']} {reason[1]}" if reason else match["name"]
        found[name] = found.get(name, 0.0) + float(match["value"])
    return found


def balance(counters: dict[str, float]) -> float:
    """Return the number of received requests that are not finished; 0 without activity."""
    failed = sum(value for name, value in counters.items() if name.startswith("failed"))
    return counters["received"] - counters["succeeded"] - failed - counters["cancelled"]


def growth(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Estimate the growth of memory after it has settled: MB per hour, and MB over that time.

    Consecutive samples are correlated, so medians of blocks are resampled instead of samples.
    """
    settled = samples[int(len(samples) * _SETTLED) :]
    blocks = [block for block in np.array_split(np.arange(len(settled)), _BLOCKS) if len(block)]
    hours = np.array([np.median([settled[i]["seconds"] for i in block]) for block in blocks]) / 3600
    memory = np.array([np.median([settled[i]["resident_mb"] for i in block]) for block in blocks])
    found = slope(hours, memory)
    lasted = float(hours[-1] - hours[0]) if len(hours) else 0.0
    return {
        "mb_per_hour": plain(found),
        "mb": found.value * lasted,
        "share": found.value * lasted / float(memory.mean()),
    }


def slope(hours: np.ndarray, memory: np.ndarray) -> Estimate:
    """Fit a line, with a 95 % interval from resampled points."""
    random = np.random.default_rng(0)
    slopes: list[float] = []
    while len(slopes) < RESAMPLES:
        chosen = random.integers(0, len(hours), len(hours))
        if len(set(chosen.tolist())) > 2:
            slopes.append(_line(hours[chosen], memory[chosen]))
    low, high = np.percentile(slopes, [LOW, HIGH])
    return Estimate(_line(hours, memory), float(low), float(high))


def _line(hours: np.ndarray, memory: np.ndarray) -> float:
    centred = hours - hours.mean()
    return float(centred @ (memory - memory.mean()) / (centred @ centred))


def verdicts(
    before: dict[str, Any], after: dict[str, Any], samples: list[dict[str, Any]], counters: dict[str, float]
) -> dict[str, bool]:
    """Return whether each requirement is met."""
    found = growth(samples)
    return {
        "memory_flat": found["mb_per_hour"]["low"] <= 0 or found["share"] <= _NOISE,
        "descriptors_back": after["descriptors"] <= before["descriptors"],
        "threads_back": after["threads"] <= before["threads"],
        "same_processes": after["pids"] == before["pids"],
        "counters_balance": balance(counters) == 0 and counters.get("in_flight", 0.0) == 0,
    }


def main() -> None:
    """Run the soak and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args()
    result = origin() | soak(options.minutes)
    output("soak", options.out).write(result, page(result))
    print(page(result))


def page(result: Mapping[str, Any]) -> str:
    """Write the requirements, the resources, and the answers."""
    held = [[moment, *(cell(result[moment][name]) for name in _HELD)] for moment in ("started", "before", "after")]
    answers = [
        [kind, ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(found.items()))]
        for kind, found in result["answers"].items()
    ]
    memory = result["memory"]
    counters = ", ".join(f"{name} {count:,.0f}" for name, count in result["counters"].items() if count)
    return "\n".join(
        [
            _TITLE.format(**result),
            "",
            table(
                ["verdict", "holds"],
                [[name.replace("_", " "), "yes" if holds else "**no**"] for name, holds in result["verdicts"].items()],
            ),
            "",
            table(["moment", *_HELD.values()], held),
            "",
            f"Memory grew by {interval(**memory['mb_per_hour'])} MB per hour, {memory['share']:.2%} in total.",
            "",
            table(["client", "answers"], answers),
            "",
            f"The server's counters: {counters}.",
            "",
            where(result),
            "",
        ]
    )


_TITLE = """# Endurance under good, bad, slow and cancelled requests

Written by `python -m benchmarks.serving.soak`: {minutes:g} minutes on LeNet. `before` is after a short warm-up and
`after` at the end, both without clients."""
_HELD = {
    "resident_mb": "resident, MB",
    "worker_mb": "worker, MB",
    "pss_mb": "PSS, MB",
    "descriptors": "descriptors",
    "threads": "threads",
}


if __name__ == "__main__":
    main()
