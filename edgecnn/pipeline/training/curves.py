"""Plot a training: loss, accuracy and learning rate of each epoch."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from edgecnn.files.file import write_file
from edgecnn.pipeline.plotting import legend_beside, legible, rendered, spans_decades, use_decades
from edgecnn.pipeline.training.checkpoint import CheckpointRecord

_MOST_MARKS = 40
_COLOURS = {"training": "#4c8cbf", "validation": "#d98032"}


@contextlib.contextmanager
def curves(place: Path | None) -> Iterator[Callable[[CheckpointRecord], None]]:
    """Yield a function that takes the record after each epoch. The last record is plotted at the end; None: nothing.

    A training that fails or is interrupted after its first epoch has a plot too.

    Raises:
        EdgecnnError: the file cannot be written.
    """
    latest: list[CheckpointRecord] = []
    try:
        yield lambda record: latest.__setitem__(slice(None), [record])
    finally:
        if place is not None and latest and latest[0].history:
            write_file(place, draw(latest[0], place.suffix))


def draw(record: CheckpointRecord, suffix: str) -> bytes:
    """Return the plot of all epochs, in the format of a file with this suffix: `.png`, `.svg` or `.pdf`."""
    history, options = record.history, record.options
    title = f"{record.network.architecture} on {record.source}: {len(history)} of {options.epochs} epochs"
    if record.test_top1 is not None:
        title += f", top-1 {record.test_top1:.2%} on the test split"
    with legible([title]) as texts:
        figure = Figure(figsize=(11, 10), layout="constrained")
        figure.suptitle(texts.line(title))
        loss, accuracy, rate = figure.subplots(3, 1, sharex=True)
        _lines(loss, {"training": [e.loss for e in history], "validation": [e.validation_loss for e in history]})
        _lines(
            accuracy, {"training": [e.accuracy for e in history], "validation": [e.validation_top1 for e in history]}
        )
        _lines(rate, {"": [epoch.learning_rate for epoch in history]})
        for axes, name in ((loss, "loss"), (rate, "learning rate")):
            values = [y for line in axes.get_lines() for y in line.get_ydata()]
            if spans_decades(values):
                use_decades(axes.yaxis)
            axes.set_ylabel(f"{name}, logarithmic" if axes.get_yscale() == "log" else name)
        accuracy.set_ylabel("accuracy (validation: top-1)")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
        for axes in (loss, accuracy):
            label = f"best epoch: {record.best_epoch}"
            axes.axvline(record.best_epoch, color="#888888", linestyle="--", linewidth=1, label=label)
            legend_beside(axes)
        rate.set_xlabel("epoch")
        rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return rendered(figure, suffix)


def _lines(axes: Any, series: dict[str, list[float | None]]) -> None:
    """Draw a line for each series with values, over the epochs from 1."""
    for name, values in series.items():
        known = [(epoch, value) for epoch, value in enumerate(values, 1) if value is not None]
        if known:
            mark = "o" if len(known) <= _MOST_MARKS else ""
            colour = _COLOURS.get(name, "#555555")
            axes.plot(*zip(*known, strict=True), marker=mark, markersize=4, color=colour, label=name)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
