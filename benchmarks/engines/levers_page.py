"""The results of `levers.py` as data, and their page."""

from dataclasses import dataclass
from typing import Any

from benchmarks.common.tables import interval, ratio, table, where
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.runtime.rates import Estimate, Rate

TITLE = """# Linear layers in 4 bits and of low rank

Written by `python -m benchmarks.engines.levers`. One image per run. Speed, size and agreement of a row come from one
model. All models of a network have the same weights and the same 300 calibration images; low rank has 1,500. All ways
take turns, each in its own process, which is started several times; their weights are on huge pages. The peers receive
a normalised float32 NCHW image; edgecnn receives pixels and normalises them within the measured time. "best peer /
this" is the time of the fastest peer with the same number of threads divided by this way's, with a 95 % interval from
resampled processes. Agreement is the share of test images with the same label as in PyTorch; drop is in points of
top-1."""


@dataclass(frozen=True)
class Measured:
    """A way with a number of threads.

    Attributes:
        way: its name.
        is_ours: whether the model is a bundle of edgecnn.
        is_best_peer: whether it is the fastest peer with this number of threads.
        threads: of a run.
        size_bytes: of the model.
        huge_bytes: memory of the process on huge pages; None if the system does not report it.
        p50_ms: median time of one image.
        over_best_peer: the time of the fastest peer divided by this one's, in the same rounds.
        agreement: with PyTorch; None with random weights.
        drop: of top-1; None with random weights.
    """

    way: str
    is_ours: bool
    is_best_peer: bool
    threads: int
    size_bytes: int
    huge_bytes: int | None
    p50_ms: Estimate
    over_best_peer: Estimate
    agreement: Rate | None
    drop: PairedDrop | None


@dataclass(frozen=True)
class Network:
    """The results of one network.

    Attributes:
        name: its name.
        is_trained: whether the weights are trained; random weights have no agreement.
        is_busy: whether other work disturbed most rounds.
        rows: of each way and number of threads.
        failed: ways that do not run here, with the reason.
    """

    name: str
    is_trained: bool
    is_busy: bool
    rows: tuple[Measured, ...]
    failed: dict[str, str]


def page(result: dict[str, Any]) -> str:
    """Write the tables; `result` is the JSON document."""
    parts = [TITLE, *(_network(name, found) for name, found in result["networks"].items())]
    return "\n\n".join([*parts, f"Measured {where(result)}."]) + "\n"


def _network(name: str, found: dict[str, Any]) -> str:
    notes = (
        []
        if found["is_trained"]
        else [
            "Random weights: the speed does not depend on them. Low rank has a quarter of the weights of linear layers."
        ]
    )
    notes += ["Other work disturbed most rounds: the ratios are uncertain."] if found["is_busy"] else []
    notes += [f"{way} does not run: {reason}" for way, reason in found["failed"].items()]
    blocks = [f"## {name}", *([" ".join(notes)] if notes else [])]
    for threads in sorted({row["threads"] for row in found["rows"]}):
        rows = [_row(row) for row in found["rows"] if row["threads"] == threads]
        header = ("way", "MB", "huge pages, MB", "agreement", "drop, points", "ms", "best peer / this")
        blocks.append(f"### {threads} thread{'s' if threads > 1 else ''}\n\n" + table(header, rows))
    return "\n\n".join(blocks)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    name = f"**{row['way']}**" if row["is_ours"] else f"*{row['way']}*" if row["is_best_peer"] else row["way"]
    agreement, drop = row["agreement"], row["drop"]
    return (
        name,
        f"{row['size_bytes'] / 1e6:.1f}",
        "—" if row["huge_bytes"] is None else f"{row['huge_bytes'] / 1e6:.0f}",
        "—" if agreement is None else _percent(agreement["value"], agreement["low"], agreement["high"]),
        "—" if drop is None else f"{drop['drop'] * 100:+.2f} [{drop['low'] * 100:+.2f}, {drop['high'] * 100:+.2f}]",
        interval(**row["p50_ms"], show=lambda value: f"{value:.3g}"),
        ratio(**row["over_best_peer"]),
    )


def _percent(value: float, low: float, high: float) -> str:
    return f"{value:.2%} [{low:.2%}, {high:.2%}]"
