"""How results are written for people: Markdown tables, and figures with their intervals."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_FIGURE = re.compile(r"[*~≥≤+-]* ?[\d.]|—?$")
"""How a cell of a column of figures begins; an empty cell is one, too."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; columns of figures are aligned to the right."""
    lines = [[re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row] for row in rows]
    rules = [
        "---:" if any(column) and all(map(_FIGURE.match, column)) else "---" for column in zip(*lines, strict=True)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rules or ["---"] * len(header), *lines))


def cell(value: Any) -> str:
    """Write a value of a result: an estimate with its interval, a figure, a text, or — for None."""
    if value is None:
        return "—"
    if isinstance(value, dict):
        return interval(**value)
    return digits(value) if isinstance(value, float) else str(value)


def interval(value: float, low: float, high: float, *, show: Callable[[float], str] | None = None) -> str:
    """Write "median [low, high]"; `show` writes each of the three."""
    show = show or digits
    return f"{show(value)} [{show(low)}, {show(high)}]"


def ratio(value: float, low: float, high: float) -> str:
    """Write a ratio with its interval."""
    return interval(value, low, high, show="{:.2f}".format)


def digits(value: float) -> str:
    """Write a figure with three significant digits, or with all digits before the point."""
    size = abs(value)
    if not size:
        return "0"
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{round(value, 2) + 0.0:.2f}"


def named(versions: Mapping[str, str]) -> str:
    """Write names and their versions."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def where(found: Mapping[str, Any]) -> str:
    """Write when, where and with what a result was measured: see `results.origin`."""
    site = found["site"]
    versions = named(found["versions"] if "versions" in found else site["engines"])
    return f"{found['measured_at']}, {site['processor']}, {site['cores']} cores; {versions}"
