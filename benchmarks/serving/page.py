"""The results of `compare.py` as data, and their page."""

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
"""The limits of the claims; `idle.py` and `overload.py` have their own."""

Claim = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """The result of one turn under wrk.

    Attributes:
        requests: number of answers, with any status.
        seconds: duration.
        p50_ms: median time to an answer.
        p99_ms: 99th percentile.
        refused: answers other than 2xx and 3xx.
        broken: connections refused or reset, and answers that took more than 30 s.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def per_s(self) -> float:
        """Return the number of results per second."""
        return (self.requests - self.refused) / self.seconds


def row(name: str, turns: Sequence[Turn], *, loads: Sequence[Load], seen: Mapping[str, float]) -> dict[str, Any]:
    """Return the figures of one candidate.

    Args:
        name: in the table.
        turns: of the candidate.
        loads: results of wrk in these turns; empty for the engine alone.
        seen: data about the server's processes.
    """
    found: dict[str, Any] = {"name": name, "per_s": asdict(speed(turns).images_per_s)}
    if loads:
        found["p50_ms"] = median([load.p50_ms for load in loads])
        found["p99_ms"] = median([load.p99_ms for load in loads])
        found["errors"] = sum(load.refused + load.broken for load in loads)
    return found | dict(seen) | {"turns_per_s": [turn.images / turn.seconds for turn in turns]}


def over(turns: Sequence[Turn], reference: Sequence[Turn]) -> dict[str, float]:
    """Estimate the ratio of throughput to a reference, in the same rounds."""
    ours, theirs = ([turn.images / turn.seconds for turn in each] for each in (turns, reference))
    return asdict(ratio(ours, theirs))


def median(values: Sequence[float]) -> dict[str, float]:
    """Estimate the median of figures, one per round."""
    return asdict(ratio(values, [1.0] * len(values)))


def claim(text: str, figure: dict[str, float], *, least: float | None = None, most: float | None = None) -> Claim:
    """Compare a figure with a limit: met or missed if the whole interval agrees, else undecided."""
    sign = 1 if most is None else -1
    bound = least if most is None else most
    assert bound is not None
    low, high = sorted((sign * figure["low"], sign * figure["high"]))
    holds = True if low >= sign * bound else False if high < sign * bound else None
    return {"claim": text, "figure": figure, "least": least, "most": most, "holds": holds}


def lenet_claims(turns: Mapping[str, Sequence[Turn]], loads: Mapping[str, Sequence[Load]]) -> list[Claim]:
    """Compare LeNet's figures with the claims, for the candidates that ran."""
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
    """Compare a ResNet's figures with the claims, for the candidates that ran."""
    bounds = {OURS: LEAST_OF_ENGINE, OURS_JPEG: LEAST_OF_ENGINE_JPEG}
    return [
        claim(f"{network} INT8: {name} / {ENGINE}, images/s", over(turns[name], turns[ENGINE]), least=least)
        for name, least in bounds.items()
        if name in turns and ENGINE in turns
    ]


def page(result: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the claims of all parts, and each part's table."""
    lines = [_TITLE, "", "## Claims", "", _claims(result)]
    for part, (title, columns) in _TABLES.items():
        if part in result:
            lines += ["", f"## {title}", "", _how(result[part]), "", _table(columns, result[part]["rows"])]
            failed = result[part].get("failed", {})
            lines += ["", *(f"- {name} does not run: {_one_line(why)}" for name, why in failed.items())] * bool(failed)
    lines += ["", "## Machine", "", *(f"- {part}: {where(found)}" for part, found in result.items())]
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
        f"The engine alone, and behind edgecnn: {setting['engine']}, threads {setting['threads']}, instances "
        f"{setting['instances']}, batch up to {setting['batch']}, the fastest of all tested settings. {rounds}."
    )


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    return table(list(columns.values()), [[cell(each.get(key)) for key in columns] for each in rows])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


_TITLE = """# Server comparison

Written by `python -m benchmarks.serving.compare`. All servers of a table run in the same rounds, one after the other,
in a different order each round. The other servers are idle; one that uses processor time while idle is paused. The
client, `wrk` with one thread and 16 connections, runs on the same cores. One second before each turn is not counted.
The tables give medians over rounds, ratios from the same rounds, and 95 % intervals from resampled rounds. The logits
of every candidate were compared with ONNX Runtime's first. The bare handler is minimal: a tensor's bytes in, ONNX
Runtime, the logits' bytes out."""

_SERVER = {"name": "server", "per_s": "requests/s"}
_LATENCY = {"p50_ms": "median, ms", "p99_ms": "p99, ms", "errors": "errors"}
_MEMORY = {"idle_mb": "memory at start, MB", "loaded_mb": "at the end, MB"}
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
        "Overload: ResNet-50 INT8, requests independent of answers",
        {
            "name": "load",
            "offered_per_s": "sent/s",
            "goodput_per_s": "results/s",
            "over_peak": "over the peak",
            "refused_p50_ms": "503, median, ms",
            "refused_p99_ms": "503, p99, ms",
            "accepted_p50_ms": "result, median, ms",
            "accepted_p99_ms": "result, p99, ms",
            "client_cores": "client cores",
            "broken": "no answer",
            "unsent": "not sent",
        },
    ),
    "idle": (
        "LeNet: a new server",
        {"name": "server", "ready_s": "start to ready, s", "resident_mb": "resident, MB", "shared_mb": "PSS, MB"},
    ),
}
