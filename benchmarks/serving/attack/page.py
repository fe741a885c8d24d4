"""The verdict of each flood, and the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.common.tables import digits, table, where
from benchmarks.serving.attack.victims import FRESH, KEPT, LIVE, NOT_CONNECTED, READY, REFUSED, RIGHT, Probe

HEALTH_P50_MS, HEALTH_P99_MS = 50.0, 250.0
MEMORY_AFTER, AFTER_S = 1.2, 30.0
"""Limits: of health probes on fresh connections, and of the resident memory after an attack over that before it."""

END_S = 5.0
"""Limit of the time from SIGTERM to the end of the server, after the attack."""

_HEALTH, _INFERENCES = (LIVE, READY), (FRESH, KEPT)


@dataclass(frozen=True)
class Row:
    """The measurements of one flood.

    Attributes:
        name: of the flood.
        load: of the flood.
        attack: counts of the attacker.
        bounds: count of the attacker -> upper limit.
        limit_bytes: of the memory.
        idle_bytes: resident memory before.
        peak_bytes: the largest resident memory, sampled every 50 ms.
        group_peak_bytes: the largest memory of the control group; None without one.
        after_bytes: resident memory after the attack.
        after_s: when it was measured: as soon as it was low enough, at most `AFTER_S`.
        oom_kills: processes that the kernel killed at the limit.
        probes: of well-behaved clients during the attack.
        deaths: workers that ended, and 1 more if the server ended.
        stops_worker: whether the attack stopped the worker.
        logs_restart: whether the log reports a restart of the worker.
        end_s: from SIGTERM to the end of the server.
        exit_code: of the server; None if it had to be killed.
    """

    name: str
    load: str
    attack: Mapping[str, float]
    bounds: Mapping[str, float]
    limit_bytes: int
    idle_bytes: int
    peak_bytes: int
    group_peak_bytes: int | None
    after_bytes: int
    after_s: float
    oom_kills: int
    probes: Sequence[Probe] = field(repr=False)
    deaths: int
    stops_worker: bool
    logs_restart: bool
    end_s: float
    exit_code: int | None


def summary(row: Row) -> dict[str, Any]:
    """Return the figures of a row, and what did not hold in `problems`."""
    times = {
        "health": [probe.total_ms for probe in row.probes if probe.kind in _HEALTH],
        "connection": [probe.connected_ms for probe in row.probes if probe.connected_ms is not None],
        "inference": [probe.total_ms for probe in row.probes if probe.kind in _INFERENCES],
        "late": [probe.late_ms for probe in row.probes],
    }
    found: dict[str, Any] = {name: getattr(row, name) for name in _COPIED}
    found["memory_ratio"] = row.after_bytes / row.idle_bytes
    for name, values in times.items():
        for percentile in (50, 99):
            found[f"{name}_p{percentile}_ms"] = float(np.percentile(values, percentile)) if values else None
    inferences = [probe.outcome for probe in row.probes if probe.kind in _INFERENCES]
    outcomes = {outcome: inferences.count(outcome) for outcome in sorted(set(inferences))}
    found["inferences"] = outcomes
    found["refused"] = outcomes.get(REFUSED, 0)
    found["lost"] = sum(count for outcome, count in outcomes.items() if outcome not in (RIGHT, REFUSED, NOT_CONNECTED))
    found["health_failed"] = sum(p.kind in _HEALTH and p.outcome not in (RIGHT, REFUSED) for p in row.probes)
    return found | {"problems": _problems(found)}


def _problems(found: Mapping[str, Any]) -> list[str]:
    wanted = 1 if found["stops_worker"] else 0
    checks = {
        f"memory above {found['limit_bytes'] >> 20} MiB": found["peak_bytes"] > found["limit_bytes"],
        f"{found['oom_kills']} processes killed at the memory limit": found["oom_kills"] > 0,
        f"memory after the attack {found['memory_ratio']:.2f} × idle": found["memory_ratio"] > MEMORY_AFTER,
        f"{found['deaths']} deaths": found["deaths"] != wanted,
        f"{digits(found['end_s'])} s from SIGTERM to the end": found["end_s"] > END_S,
        f"exit code {found['exit_code']}": found["exit_code"] != 0,
    }
    if found["stops_worker"]:
        checks["the log does not report the restart"] = not found["logs_restart"]
    else:
        checks |= {
            "no health probe": found["health_p50_ms"] is None,
            f"health p50 {digits(found['health_p50_ms'] or 0)} ms": (found["health_p50_ms"] or 0) > HEALTH_P50_MS,
            f"health p99 {digits(found['health_p99_ms'] or 0)} ms": (found["health_p99_ms"] or 0) > HEALTH_P99_MS,
            f"{found['lost']} answers lost": found["lost"] > 0,
        }
    for name, bound in found["bounds"].items():
        checks[f"{name}: {digits(found['attack'][name])}"] = found["attack"][name] > bound
    return [text for text, is_broken in checks.items() if is_broken]


def page(result: Mapping[str, Any]) -> str:
    """Write the table of all floods, and what did not hold."""
    rows = result["rows"]
    failed = [row for row in rows if row["problems"]]
    lines = [_TITLE.format(seconds=result["seconds"], how=_HOW[result["has_group"]]), ""]
    lines += [f"{len(rows) - len(failed)} of {len(rows)} floods hold all limits.", ""]
    lines += [table(_HEADER, [_cells(row) for row in rows]), ""]
    if failed:
        cells = [[row["name"], ", ".join(row["problems"])] for row in failed]
        lines += ["## Limits that did not hold", "", table(["flood", "found"], cells), ""]
    special = [(row, name, bound) for row in rows for name, bound in row["bounds"].items()]
    if special:
        cells = [[row["name"], name, digits(row["attack"][name]), f"≤ {bound:g}"] for row, name, bound in special]
        lines += ["## Limits of single floods", "", table(["flood", "figure", "measured", "limit"], cells), ""]
    return "\n".join([*lines, where(result), ""])


def _cells(row: Mapping[str, Any]) -> list[str]:
    group = row["group_peak_bytes"]
    return [
        row["name"],
        row["load"],
        *(_mib(row[name]) for name in ("idle_bytes", "peak_bytes")),
        "—" if group is None else _mib(group),
        f"{row['memory_ratio']:.2f} × after {digits(row['after_s'])} s",
        *(_pair(row, kind) for kind in ("health", "connection", "inference", "late")),
        *(str(row[name]) for name in ("refused", "lost", "deaths")),
        digits(row["end_s"]),
        "**no**" if row["problems"] else "yes",
    ]


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"


def _pair(row: Mapping[str, Any], kind: str) -> str:
    values = [row[f"{kind}_p{percentile}_ms"] for percentile in (50, 99)]
    return "—" if None in values else " / ".join(map(digits, values))


_COPIED = (
    *("name", "load", "attack", "bounds", "limit_bytes", "idle_bytes", "peak_bytes", "group_peak_bytes"),
    *("after_bytes", "after_s", "oom_kills", "deaths", "stops_worker", "logs_restart", "end_s", "exit_code"),
)
_HEADER = (
    *("flood", "load", "idle, MiB", "peak, MiB", "group's peak, MiB", "memory after / idle", "health p50 / p99, ms"),
    *("new connection p50 / p99, ms", "inference p50 / p99, ms", "clients late p50 / p99, ms"),
    *("refused", "lost", "deaths", "end, s", "holds"),
)
_HOW = {
    True: "It runs in a control group with a memory limit of 1 GiB, as in the manifests.",
    False: "Without a control group, its resident memory is compared with 1 GiB, but no limit is enforced.",
}
_TITLE = """# Floods

Written by `make attack`. Each flood attacks a new server with LeNet for {seconds:g} seconds.
{how}
The attackers run on the same cores. Meanwhile well-behaved clients send health probes on new connections every 50 ms,
and inference requests whose answer is compared bit for bit. "Clients late" is how long these clients waited for a core
before they sent; on a busy machine all times are longer. An answer is lost if the server accepted the request and the
client has no right answer; 503 with `Retry-After` is refused.

Limits: health 50 ms at the median and 250 ms at p99; memory at most 1 GiB, and at most 1.2 × idle within 30 s after the
attack; no answer lost; no death of a process; 5 s from SIGTERM to the end, and exit code 0. Memory is the resident
memory of all processes of the server; the group's peak also contains its file cache."""
