"""Print results to stdout, and warnings and progress bars to stderr."""

import contextlib
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgecnn.errors import EdgecnnError
from edgecnn.progress import Progress, silent

if TYPE_CHECKING:
    from edgecnn.bundle.proof import PairedDrop
    from edgecnn.runtime.rates import Rate


def emit(result: Any, text: str, *, as_json: bool) -> None:
    """Print a result as JSON or as text."""
    if as_json:
        from edgecnn.files.schema import plain

        text = json.dumps(plain(result), indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(text)


def warn(message: str, *, strict: bool = False) -> None:
    """Print a warning to stderr, or raise it as an error if `strict` is set."""
    if strict:
        raise EdgecnnError(message)
    click.echo(f"warning: {message}", err=True)


@contextlib.contextmanager
def progress_bar(*, hidden: bool = False) -> Iterator[Progress]:
    """Draw progress bars on stderr while the block runs, unless `hidden` is set or stderr is not a terminal."""
    if hidden or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int, note: str = "", /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note=note)
            bars.update(tasks[stage], completed=done, total=total, note=note)

        yield advance


def percent(fraction: float | None) -> str:
    """Format a fraction as a percentage."""
    return "unknown" if fraction is None else f"{fraction:.2%}"


def rate(found: "Rate") -> str:
    """Format a rate with its interval."""
    return f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]"


def points(drop: "PairedDrop | None") -> str:
    """Format a drop of top-1 with its interval, in percentage points."""
    if drop is None:
        return "unknown"
    return f"{drop.drop * 100:+.2f} points [{drop.low * 100:+.2f}, {drop.high * 100:+.2f}]"


def number(value: float | None) -> str:
    """Format a measured number with three digits."""
    return "not finite" if value is None else f"{value:.3g}"


def counted(count: int, what: str) -> str:
    """Format a count with its noun: `1 core`, `2 cores`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Align rows in columns, those in `right` to the right. Text is never truncated, so that pipes get all of it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = [str.rjust if i in right else str.ljust for i in range(len(widths))]
    aligned = ([align(cell, width) for align, cell, width in zip(pad, row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in aligned)
