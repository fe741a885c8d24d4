"""Print lines above the progress bars of a terminal.

The bars are redrawn in place several times a second. They overwrite text that is written to the terminal meanwhile.
`rich` can redirect the streams, but `click` writes to the stream below its redirection, and it would move stdout to
stderr.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column


def terminal() -> Console:
    """Return the console of stderr."""
    return Console(stderr=True)


def bar_columns() -> tuple[ProgressColumn, ...]:
    """Return the columns of a progress bar. At 80 columns, the bar gets shorter and the note keeps its text."""
    return (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=40)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
    )


class _LinesAbove(FileProxy):
    """A stream that prints its lines through a console, above the bars."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        super().__init__(console, stream)
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the terminal. Without this attribute, `click` writes to the stream below this one."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The treatment of characters that the terminal cannot show."""
        return self._stream.errors


@contextlib.contextmanager
def lines_above(console: Console) -> Iterator[None]:
    """Print lines to stderr, and to stdout if it is the same terminal, above the bars of `console`."""
    with contextlib.ExitStack() as stack:
        if _is_same_terminal(sys.stdout, sys.stderr):
            stack.enter_context(contextlib.redirect_stdout(_LinesAbove(console, sys.stdout)))
        stack.enter_context(contextlib.redirect_stderr(_LinesAbove(console, sys.stderr)))
        yield


def _is_same_terminal(one: TextIO | None, other: TextIO) -> bool:
    if one is None or not one.isatty():
        return False
    return os.fstat(one.fileno()).st_rdev == os.fstat(other.fileno()).st_rdev
