"""Markdown tables, and figures with intervals."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_FIGURE = re.compile(r"[*~≥≤+-]* ?[\d.]|—?$")
"""The beginning of a cell in a column of figures; a cell may be empty."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; columns of figures are aligned to the right."""
    lines = [[re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row] for row in rows]
    rules = [
        "---:" if any(column) and all(map(_FIGURE.match, column)) else "---" for column in zip(*lines, strict=True)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rules or ["---"] * len(header), *lines))


def cell(value: Any) -> str:
    """Format a value: an estimate with its interval, a figure, a text, or None as —."""
    if value is None:
        return "—"
    if isinstance(value, dict):
        return interval(**value)
    return digits(value) if isinstance(value, float) else str(value)


def interval(value: float, low: float, high: float, *, show: Callable[[float], str] | None = None) -> str:
    """Format "median [low, high]"; `show` formats each of the three."""
    show = show or digits
    return f"{show(value)} [{show(low)}, {show(high)}]"


def ratio(value: float, low: float, high: float) -> str:
    """Format a ratio with its interval."""
    return interval(value, low, high, show="{:.2f}".format)


def digits(value: float) -> str:
    """Format a figure with three significant digits, or with all digits before the point."""
    size = abs(value)
    if not size:
        return "0"
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{round(value, 2) + 0.0:.2f}"


def named(versions: Mapping[str, str]) -> str:
    """Format names with their versions."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def where(found: Mapping[str, Any]) -> str:
    """Format when, where and with which versions a result was measured; see `results.origin`."""
    site = found["site"]
    versions = named(found["versions"] if "versions" in found else site["engines"])
    return f"{found['measured_at']}, {site['processor']}, {site['cores']} cores; {versions}"
