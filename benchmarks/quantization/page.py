"""The page of `compare.py`: a table for each part."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.common.tables import interval, table
from benchmarks.quantization.fidelity import MAX_DROP, MIN_AGREEMENT, OURS, SIGNIFICANT, verdict
from benchmarks.quantization.networks import CALIBRATION
from benchmarks.quantization.processors import EMULATED
from benchmarks.quantization.third_party import TEST

Row = dict[str, Any]
_TARGETS = f"Targets: a drop of at most {MAX_DROP * 100:.1f} points and an agreement of at least {MIN_AGREEMENT:.1%}."
_PEERS = (
    "Peers: McNemar's exact test on agreement with FP32, Holm's correction over this table; "
    f"a p-value below {SIGNIFICANT} shows a difference."
)


def page(result: dict[str, Any]) -> str:
    """Write the tables of the measured parts."""
    lines = ["# INT8 by edgecnn, ONNX Runtime and NNCF", "", "Written by `python -m benchmarks.quantization.compare`."]
    for part, (title, about, header, cells) in TABLES.items():
        if part in result:
            found = result[part]
            lines += ["", f"## {title}", "", f"On {found['processor']}. {about}".strip()]
            lines += ["", table(header, map(cells, found["rows"]))]
            if part in TESTED:
                lines += ["", summary(found["rows"])]
    return "\n".join(lines) + "\n"


def summary(rows: list[Row]) -> str:
    """Return how many of edgecnn's graphs meet the targets, and how often a graph agrees more than its peer's."""
    ours = [verdict(row) for row in rows if row["quantizer"] == OURS and row["drop"] is not None]
    peers = [verdict(row) for row in rows if row["quantizer"] != OURS and "failed" not in row]
    won, lost = peers.count("edgecnn better"), peers.count("**peer better**")
    met = f"edgecnn meets the targets in {ours.count('meets the targets')} of {len(ours)} rows. " if ours else ""
    return f"{met}Of {len(peers)} comparisons, edgecnn is better in {won}, a peer in {lost}."


def _fidelity_cells(row: Row) -> list[str]:
    if "failed" in row:
        return [row["network"], row["engine"], row["quantizer"], *[""] * 6, verdict(row)]
    drop = row["drop"]
    points = drop and interval(*(100 * drop[key] for key in ("drop", "low", "high")), show="{:+.2f}".format)
    return [
        *(row["network"], row["engine"], row["quantizer"]),
        f"{row['top1']:.2%} ({row['reference_top1']:.2%})",
        points,
        *_agreement_cells(row),
    ]


def _third_party_cells(row: Row) -> list[str]:
    if "failed" in row:
        return [row["network"], row["engine"], row["quantizer"], *[""] * 4, verdict(row)]
    return [row["network"], row["engine"], row["quantizer"], *_agreement_cells(row)]


def _agreement_cells(row: Row) -> list[str]:
    ours = row["quantizer"] == OURS
    return [
        f"{row['agreement']:.2%}",
        f"{row['rms_error']:.4f} ({row['rms_error'] / row['spread']:.1%})",
        "" if ours else f"{row['ours_better']} / {row['theirs_better']}",
        "" if ours else f"{row['p_holm']:.2g}",
        verdict(row),
    ]


def _processors_cells(row: Row) -> list[str]:
    where = [row["network"], row["weights"], row["engine"], row["processor"]]
    return [*where, f"{row['rms_error']:.4f}", f"{row['ratio']:.3f}", f"{row['agreement']:.1%}"]


def _latency_cells(row: Row) -> list[str]:
    times = interval(row["median_ms"], row["lower_ms"], row["upper_ms"], show="{:.2f}".format)
    return [*(row["network"], row["engine"], row["quantizer"], times), f"{row['of_fp32']:.2f}", f"{row['ratio']:.3f}"]


def _operators_cells(row: Row) -> list[str]:
    counts = [", ".join(f"{kind} {count}" for kind, count in row[key].items()) for key in ("int8", "float")]
    return [row["network"], row["engine"], *counts]


def _cost_cells(row: Row) -> list[str]:
    return [row["network"], row["quantizer"], str(row["images"]), f"{row['seconds']:.1f}", f"{row['peak_mb']:.0f}"]


def _calibration_cells(row: Row) -> list[str]:
    return [row["tool"], row["method"], str(row["images"]), f"{row['seconds']:.1f}", f"{row['peak_mb']:.0f}"]


_COMPARED = ("agreement", "RMS error (of the logits' spread)", "agrees in ours only / in theirs only", "p", "result")
TESTED = ("fidelity", "third_party")
"""The parts whose rows have p-values."""

TABLES: dict[str, tuple[str, str, Sequence[str], Callable[[Row], list[str]]]] = {
    "fidelity": (
        f"Fidelity: Fashion-MNIST, 10,000 test images, {CALIBRATION} calibration images",
        f"{_TARGETS} {_PEERS}",
        ("network", "engine", "quantizer", "top-1 (FP32)", "drop, points", *_COMPARED),
        _fidelity_cells,
    ),
    "third_party": (
        f"Third-party graphs: {TEST:,} photographs, {CALIBRATION} calibration photographs",
        _PEERS,
        ("network", "engine", "quantizer", *_COMPARED),
        _third_party_cells,
    ),
    "processors": (
        f"Other processors: {EMULATED} of those images, RMS error of the logits and its ratio to this machine's",
        "",
        ("network", "weights", "engine", "processor", "RMS error", "ratio", "agreement"),
        _processors_cells,
    ),
    "latency": (
        "Latency: batch 1, median [quartiles] ms, and its ratios to FP32's and to the fastest peer's",
        "Random weights at 224 × 224, and the third-party graphs.",
        ("network", "engine", "quantizer", "latency", "of FP32", "of the fastest peer"),
        _latency_cells,
    ),
    "operators": (
        "Operators of edgecnn's INT8 graphs, read from each engine's optimised graph",
        "",
        ("network", "engine", "in INT8", "in float, with conversions"),
        _operators_cells,
    ),
    "cost": (
        "Cost of quantizing each network, the whole process",
        "",
        ("network", "quantizer", "images", "seconds", "peak, MB"),
        _cost_cells,
    ),
    "calibration": (
        "Calibration: ResNet-18 at 224 × 224, the whole process",
        "",
        ("tool", "method", "images", "seconds", "peak, MB"),
        _calibration_cells,
    ),
}
