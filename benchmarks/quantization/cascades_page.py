"""The results of `cascades.py` as data, and their page."""

from dataclasses import dataclass
from typing import Any

from benchmarks.common.tables import ratio, table, where
from edgecnn.runtime.rates import Estimate

TITLE = """# Cascades

Written by `python -m benchmarks.quantization.cascades`. A cascade runs its fast graph on every image, and its accurate
graph on the images whose margin is below a threshold. Agreement is the share of the test images of Fashion-MNIST with
the same label as the accurate network in PyTorch; drop is in points of top-1. "at least" is the agreement that the
one-sided 95 % bound shows, on 5,000 training images that neither training, the choice of the epoch, calibration nor the
gate used; 5,000 others chose the threshold. "time / INT8's" is the mean time of the cascade divided by that
of the accurate network's INT8 bundle, on the same images, one image a run, with 95 % intervals from resampled
processes; "× as fast" is its inverse."""


@dataclass(frozen=True)
class Pair:
    """Two bundles to combine.

    Attributes:
        name: of the cascade.
        fast: network of the fast graph.
        fast_precision: `int8` or `fp32`.
        accurate: network of the accurate graph.
        accurate_precision: `int8` or `fp32`.
        agreements: in percent, in the order in which they are tried.
    """

    name: str
    fast: str
    fast_precision: str
    accurate: str
    accurate_precision: str
    agreements: tuple[float, ...]


@dataclass(frozen=True)
class Cost:
    """The time of a cascade, and the time of the accurate network in INT8.

    Attributes:
        engine: the engine.
        threads: of a run.
        cascade_ms: mean time of one image; the median over the processes.
        int8_ms: the same of the INT8 bundle.
        over_int8: time of the cascade divided by the INT8 bundle's.
        is_busy: whether other work disturbed most rounds.
    """

    engine: str
    threads: int
    cascade_ms: float
    int8_ms: float
    over_int8: Estimate
    is_busy: bool


@dataclass(frozen=True)
class Measured:
    """The results of one cascade.

    Attributes:
        pair: its bundles.
        threshold: margin below which an image runs again.
        max_disagreement: bound on images that are new to both networks.
        answers: engine to `agreement`, `fast_agreement` (of the fast graph alone), `drop` and `share_again`.
        costs: on each engine with each number of threads.
    """

    pair: Pair
    threshold: float
    max_disagreement: float
    answers: dict[str, dict[str, Any]]
    costs: tuple[Cost, ...]


def page(result: dict[str, Any]) -> str:
    """Write the tables; `result` is the JSON document."""
    refused = {name: found for name, found in result["pairs"].items() if isinstance(found, str)}
    pairs = [found for name, found in result["pairs"].items() if name not in refused]
    parts = [
        TITLE,
        *(f"No cascade {name}: {reason}." for name, reason in refused.items()),
        "## Answers\n\n" + table(_ANSWERS, [row for found in pairs for row in _answers(found)]),
        "## Time\n\n" + table(_TIMES, [row for found in pairs for row in _times(found)]),
        f"Measured {where(result)}.",
    ]
    return "\n\n".join(parts) + "\n"


_ANSWERS = ("cascade", "engine", "at least", "fast graph alone", "agreement", "drop, points", "run again")
_TIMES = ("cascade", "engine", "threads", "cascade, ms", "INT8, ms", "time / INT8's", "× as fast", "")


def _answers(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            _name(found["pair"]),
            engine,
            f"{1 - found['max_disagreement']:.2%}",
            f"{each['fast_agreement']['value']:.2%}",
            f"{each['agreement']['value']:.2%} [{each['agreement']['low']:.2%}, {each['agreement']['high']:.2%}]",
            f"{each['drop']['drop'] * 100:+.2f} [{each['drop']['low'] * 100:+.2f}, {each['drop']['high'] * 100:+.2f}]",
            f"{each['share_again']:.1%}",
        )
        for engine, each in found["answers"].items()
    ]


def _times(found: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for cost in found["costs"]:
        over = cost["over_int8"]
        faster = {"value": 1 / over["value"], "low": 1 / over["high"], "high": 1 / over["low"]}
        rows.append(
            (
                _name(found["pair"]),
                cost["engine"],
                str(cost["threads"]),
                f"{cost['cascade_ms']:.3g}",
                f"{cost['int8_ms']:.3g}",
                ratio(**over),
                ratio(**faster),
                "busy machine" if cost["is_busy"] else "",
            )
        )
    return rows


def _name(pair: dict[str, Any]) -> str:
    fast, accurate = pair["fast_precision"].upper(), pair["accurate_precision"].upper()
    second = accurate if pair["accurate"] == pair["fast"] else f"{pair['accurate']} {accurate}"
    return f"{pair['fast']} {fast} → {second}"
