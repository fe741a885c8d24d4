"""Print results to stdout, and warnings and progress bars to stderr.

Text fits the terminal, of at least 80 columns. The environment variable `COLUMNS` sets another width. Text in a pipe or
file has its full width, if `COLUMNS` is not set.
"""

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgecnn.errors import EdgecnnError
from edgecnn.progress import Progress, silent
from edgecnn.runtime.rates import percent, three_digits

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Scores
    from edgecnn.bundle.paired_drop import PairedDrop
    from edgecnn.bundle.proof import PerClass


_CONTROLS = (*range(32), *range(127, 160))
_REPLACED = dict.fromkeys(_CONTROLS, "�")
_ESCAPED = {code: f"\\u{code:04x}" for code in _CONTROLS if code != ord("\n")}  # as JSON writes them
_NARROWEST = 12  # columns of a shortened text
_WRAPPED = 24  # least columns of a text that continues on the next line


def emit(result: Any, text: str, *, as_json: bool) -> None:
    """Print a result as JSON or as text. Sentences that are wider than the terminal continue on the next line."""
    if as_json:
        click.echo(_json(result, indent=2))
        return
    room = text_width()
    lines = text.split("\n")
    click.echo("\n".join(printable(line) if room is None else _wrapped(printable(line), room) for line in lines))


def emit_json_line(result: Any) -> None:
    """Print a result as one line of JSON Lines."""
    click.echo(_json(result, indent=None))


def _json(result: Any, indent: int | None) -> str:
    from edgecnn.files.schema import plain

    return json.dumps(plain(result), indent=indent, ensure_ascii=False, allow_nan=False).translate(_ESCAPED)


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal would interpret: each becomes `�`."""
    return text.translate(_REPLACED)


def text_width() -> int | None:
    """Return the number of columns for text, at least 80; None if stdout is not a terminal and `COLUMNS` is not set."""
    if not os.environ.get("COLUMNS", "").isdecimal() and not sys.stdout.isatty():
        return None
    return max(80, shutil.get_terminal_size().columns)


def _wrapped(line: str, room: int) -> str:
    if cells(line) <= room:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(line, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def warn(message: str, *, strict: bool = False) -> None:
    """Print a warning to stderr, or raise it as an error if `strict` is set."""
    if strict:
        raise EdgecnnError(message)
    click.echo(f"warning: {printable(message)}", err=True)


@contextlib.contextmanager
def progress_bar(*, hidden: bool = False) -> Iterator[Progress]:
    """Draw progress bars on stderr while the block runs, unless `hidden` is set or stderr is not a terminal.

    Lines that the block prints, by whatever means, appear above the bars and stay there.
    """
    if hidden or not sys.stderr.isatty():
        yield silent
        return
    from rich.progress import Progress as Bars

    from edgecnn.cli.live_lines import bar_columns, lines_above, terminal

    console = terminal()
    with (
        Bars(*bar_columns(), console=console, redirect_stdout=False, redirect_stderr=False) as bars,
        lines_above(console),
    ):
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int, note: str = "", /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note=note)
            bars.update(tasks[stage], completed=done, total=total, note=note)

        yield advance


def points(drop: "PairedDrop | None") -> str:
    """Format a drop of top-1 with its interval, in percentage points."""
    return "unknown" if drop is None else str(drop)


def worst_class(found: "PerClass", scores: "Scores", *, has_targets: bool = True) -> str:
    """Return the class with the strongest evidence of a drop, its drop if the targets are known, and its agreement."""
    worst, kind = found.worst, "label" if scores.multi_label else "class"
    if worst is None:
        return f"no {kind} has a drop"
    drop = f"drop {points(worst.drop)}, " if has_targets else ""
    doubt = " (may be chance)" if has_targets and worst.drop.low <= 0 else ""
    agreement = percent(worst.agreed / worst.drop.images)
    return f"worst {kind} {worst.label}{doubt}: {drop}agreement {agreement} on {counted(worst.drop.images, 'image')}"


def number(value: float | None) -> str:
    """Format a measured number with three digits, as `three_digits` does."""
    return "not finite" if value is None else three_digits(value)


def counted(count: int, what: str) -> str:
    """Format a count with its noun: `1 core`, `2 cores`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def cells(text: str) -> int:
    """Return the number of columns that a text takes on a terminal: two for a Chinese character or an emoji."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def columns(
    rows: Sequence[Sequence[str]], *, right: Collection[int] = (), optional: Sequence[int] = (), margin: int = 0
) -> str:
    """Align rows in columns that fit the terminal. Columns without text are left out.

    A table that is too wide loses its optional columns, and names them. If that is not enough, the text of the last
    column continues on the next line, or long texts are shortened in the middle.

    Args:
        rows: rows of equally many texts. With `optional`, the first row is the header.
        right: columns that are aligned to the right.
        optional: columns that may be left out, the first of them first.
        margin: number of columns that the caller puts before each line.
    """
    rows = [[printable(text) for text in row] for row in rows]
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    widths = {i: max(cells(row[i]) for row in rows) for i in kept}
    room = text_width()
    left_out = []
    if room is not None:
        for i in optional:
            if i in widths and _total(widths) > room - margin:
                del widths[i]
                left_out.append(i)
        _shrink(widths, room - margin, texts=[i for i in widths if i not in right])
    lines = [line for row in rows for line in _lines(row, widths, right)]
    if left_out:
        lines.append(f"(a wider terminal and --json also show {', '.join(rows[0][i] for i in sorted(left_out))})")
    return "\n".join(lines)


def _total(widths: dict[int, int]) -> int:
    """Return the width of a line, with two spaces between columns."""
    return sum(widths.values()) + 2 * (len(widths) - 1)


def _shrink(widths: dict[int, int], room: int, *, texts: Sequence[int]) -> None:
    """Reduce the widths of texts until a line fits, or none of them has more than `_NARROWEST` columns."""
    last = max(widths)
    rest = room - _total(widths) + widths[last]
    if last in texts and rest >= _WRAPPED:
        widths[last] = min(widths[last], rest)
    while texts and _total(widths) > room:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _lines(row: Sequence[str], widths: dict[int, int], right: Collection[int]) -> list[str]:
    """Return one line of a table, or several if the last column's text is longer than its column."""
    last = max(widths)
    texts = {i: _shortened(row[i], width) for i, width in widths.items()}
    more: list[str] = []
    if widths[last] >= _WRAPPED and texts[last] != row[last]:
        texts[last], *more = textwrap.wrap(row[last], widths[last])
    padding = {i: " " * (width - cells(texts[i])) for i, width in widths.items()}
    aligned = [padding[i] + text if i in right else text + padding[i] for i, text in texts.items()]
    indent = " " * (_total(widths) - widths[last])
    return ["  ".join(aligned).rstrip(), *(indent + line for line in more)]


def _shortened(text: str, width: int) -> str:
    """Return a text with an ellipsis in its middle if it is too long."""
    if cells(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{_beginning(text, width - 1 - end)}…{_beginning(text[::-1], end)[::-1]}"


def _beginning(text: str, width: int) -> str:
    return next(text[:count] for count in range(width, -1, -1) if cells(text[:count]) <= width)
