"""The results of `compare.py` as data, and the page that shows them, losses included."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.common.tables import cell, interval, table, where
from edgecnn.tuning.measuring.estimates import ratio, speed
from edgecnn.tuning.measuring.turn import Turn

ENGINE, REFERENCE, OURS = "the engine alone", "uvicorn, bare handler", "edgecnn, binary"
OURS_JSON, MLSERVER, OURS_JPEG = "edgecnn, JSON", "MLServer, JSON", "edgecnn, JPEG"
LEAST_OF_REFERENCE, MOST_P99, LEAST_OF_MLSERVER = 0.75, 2.0, 4.0
LEAST_OF_ENGINE, LEAST_OF_ENGINE_JPEG = 0.95, 0.85
"""The bounds of the claims; `idle.py` and `overload.py` have their own."""

Claim = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """What wrk has seen in a turn.

    Attributes:
        requests: how many were answered, whatever the answer.
        seconds: for how long it ran.
        p50_ms: median time to an answer.
        p99_ms: 99th percentile.
        refused: answers other than 2xx and 3xx.
        broken: connections refused or reset, and answers that did not come within 30 s.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def per_s(self) -> float:
        """Return how many requests a second got a result."""
        return (self.requests - self.refused) / self.seconds


def row(name: str, turns: Sequence[Turn], *, loads: Sequence[Load], seen: Mapping[str, float]) -> dict[str, Any]:
    """Return the figures of one way.

    Args:
        name: in the table.
        turns: of it.
        loads: what wrk saw in them; none of the engine alone.
        seen: of the server's processes.
    """
    found: dict[str, Any] = {"name": name, "per_s": asdict(speed(turns).images_per_s)}
    if loads:
        found["p50_ms"] = median([load.p50_ms for load in loads])
        found["p99_ms"] = median([load.p99_ms for load in loads])
        found["errors"] = sum(load.refused + load.broken for load in loads)
    return found | dict(seen) | {"turns_per_s": [turn.images / turn.seconds for turn in turns]}


def over(turns: Sequence[Turn], reference: Sequence[Turn]) -> dict[str, float]:
    """Estimate how many times as many answers a second came as from a reference, in the same rounds."""
    ours, theirs = ([turn.images / turn.seconds for turn in each] for each in (turns, reference))
    return asdict(ratio(ours, theirs))


def median(values: Sequence[float]) -> dict[str, float]:
    """Estimate the median of figures, one a round."""
    return asdict(ratio(values, [1.0] * len(values)))


def claim(text: str, figure: dict[str, float], *, least: float | None = None, most: float | None = None) -> Claim:
    """Hold a figure against a bound: it holds, or does not, where the whole interval says so; else it is undecided."""
    sign = 1 if most is None else -1
    bound = least if most is None else most
    assert bound is not None
    low, high = sorted((sign * figure["low"], sign * figure["high"]))
    holds = True if low >= sign * bound else False if high < sign * bound else None
    return {"claim": text, "figure": figure, "least": least, "most": most, "holds": holds}


def lenet_claims(turns: Mapping[str, Sequence[Turn]], loads: Mapping[str, Sequence[Load]]) -> list[Claim]:
    """Hold LeNet's figures against what is to be reached, where the ways ran."""
    found = []
    if OURS in turns and REFERENCE in turns:
        figure = over(turns[OURS], turns[REFERENCE])
        found.append(claim(f"LeNet: {OURS} / {REFERENCE}, requests/s", figure, least=LEAST_OF_REFERENCE))
        p99 = ([load.p99_ms for load in loads[name]] for name in (OURS, REFERENCE))
        found.append(claim(f"LeNet: {OURS} / {REFERENCE}, p99", asdict(ratio(*p99)), most=MOST_P99))
    if OURS_JSON in turns and MLSERVER in turns:
        figure = over(turns[OURS_JSON], turns[MLSERVER])
        found.append(claim(f"LeNet: {OURS_JSON} / {MLSERVER}, requests/s", figure, least=LEAST_OF_MLSERVER))
    return found


def resnet_claims(network: str, turns: Mapping[str, Sequence[Turn]]) -> list[Claim]:
    """Hold a ResNet's figures against what is to be reached, where the ways ran."""
    bounds = {OURS: LEAST_OF_ENGINE, OURS_JPEG: LEAST_OF_ENGINE_JPEG}
    return [
        claim(f"{network} INT8: {name} / {ENGINE}, images/s", over(turns[name], turns[ENGINE]), least=least)
        for name, least in bounds.items()
        if name in turns and ENGINE in turns
    ]


def page(result: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the claims of all parts, and each part's table."""
    lines = [_TITLE, "", "## What was to be reached", "", _claims(result)]
    for part, (title, columns) in _TABLES.items():
        if part in result:
            lines += ["", f"## {title}", "", _how(result[part]), "", _table(columns, result[part]["rows"])]
            failed = result[part].get("failed", {})
            lines += ["", *(f"- {name} does not run: {_one_line(why)}" for name, why in failed.items())] * bool(failed)
    lines += ["", "## Where", "", *(f"- {part}: {where(found)}" for part, found in result.items())]
    return "\n".join(lines) + "\n"


def _claims(result: Mapping[str, Mapping[str, Any]]) -> str:
    verdicts = {True: "yes", False: "**no**", None: "undecided"}
    rows = []
    for found in result.values():
        for each in found["claims"]:
            bound = f"≥ {each['least']:g}" if each["most"] is None else f"≤ {each['most']:.4g}"
            rows.append([each["claim"], interval(**each["figure"]), bound, verdicts[each["holds"]]])
    return table(["figure", "measured", "wanted", "reached"], rows)


def _how(found: Mapping[str, Any]) -> str:
    rounds = f"{found['rounds']} rounds" + (f", turns of {found['seconds']:g} s" if "seconds" in found else "")
    setting = found.get("setting")
    if setting is None:
        return f"{rounds}."
    return (
        f"The engine alone, and behind edgecnn: {setting['backend']}, threads {setting['threads']}, runs at once "
        f"{setting['streams']}, batch up to {setting['batch']}, the fastest of all that were tried. {rounds}."
    )


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    return table(list(columns.values()), [[cell(each.get(key)) for key in columns] for each in rows])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


_TITLE = """# Serving side by side

Written by `python -m benchmarks.serving.compare`. All servers of a table run in the same rounds, one after the other,
in another order each round; the others wait, and one that takes processor time while it waits is stopped. The client,
`wrk` with one thread and 16 connections, runs on the same cores. Each turn follows a second that is not counted.
Medians over rounds, ratios of the same rounds, and 95 % intervals that resample rounds. Every answer's logits were
compared with ONNX Runtime's before. The bare handler does no more than it must: a tensor's bytes in, ONNX Runtime,
logits' bytes out."""

_SERVER = {"name": "server", "per_s": "requests/s"}
_LATENCY = {"p50_ms": "median, ms", "p99_ms": "p99, ms", "errors": "errors"}
_MEMORY = {"idle_mb": "memory at first, MB", "loaded_mb": "at the end, MB"}
_RESNET = {
    **_SERVER,
    "over_engine": "over the engine",
    "over_reference": "over the bare handler",
    **_LATENCY,
    **_MEMORY,
}
_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "lenet": (
        "LeNet FP32, 32 × 32, one thread",
        {**_SERVER, "over_reference": "over the bare handler", **_LATENCY, **_MEMORY},
    ),
    "resnet18": ("ResNet-18 INT8, 224 × 224 pixels, and JPEG of 500 × 375", _RESNET),
    "resnet50": ("ResNet-50 INT8, 224 × 224 pixels, and JPEG of 500 × 375", _RESNET),
    "overload": (
        "Overload: ResNet-50 INT8, requests come whether or not answers do",
        {
            "name": "load",
            "offered_per_s": "sent/s",
            "goodput_per_s": "results/s",
            "over_peak": "over the peak",
            "refused_p50_ms": "refusal, median, ms",
            "refused_p99_ms": "refusal, p99, ms",
            "accepted_p50_ms": "result, median, ms",
            "accepted_p99_ms": "result, p99, ms",
            "client_cores": "the client's cores",
            "broken": "no answer",
            "unsent": "not sent",
        },
    ),
    "idle": (
        "LeNet: a server that was just started",
        {"name": "server", "ready_s": "start to ready, s", "resident_mb": "resident, MB", "shared_mb": "PSS, MB"},
    ),
}
