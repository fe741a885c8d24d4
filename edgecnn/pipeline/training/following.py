"""Show a training while it runs: a plot of its epochs, and a live page."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.pipeline.plot_files import check_plot
from edgecnn.pipeline.training.checkpoint import CheckpointRecord
from edgecnn.pipeline.training.reading import Pictures
from edgecnn.pipeline.training.run import Run
from edgecnn.pipeline.transforms import network_input
from edgecnn.progress import Progress

if TYPE_CHECKING:
    from edgecnn.pipeline.training.watching.live_page import Figures, LivePage


class Following:
    """Passes what happens in a training to its plot and its live page."""

    def __init__(self, drawn: Callable[[CheckpointRecord], None], page: "LivePage | None") -> None:
        self._drawn, self._page = drawn, page

    def progress(self, other: Progress) -> Progress:
        """Return a progress callback for the page and another one."""
        page = self._page
        if page is None:
            return other

        def advance(stage: str, done: int, total: int, note: str = "", /) -> None:
            page.advance(stage, done, total, note)
            other(stage, done, total, note)

        return advance

    def epoch(self, record: CheckpointRecord, run: Run, images: Pictures) -> None:
        """Show the record before the first epoch, and after each one, with predictions on a few images."""
        self._drawn(record)
        if self._page is None:
            return
        from edgecnn.pipeline.training.watching.samples import sample_places

        shown = images.validation or images.training
        places = sample_places(len(shown))
        pixels = shown.take(places)
        if not self._page.has_samples:
            self._page.take_samples(pixels, shown.targets[places].tolist(), record.labels)
        self._page.show(_figures(record), run.probabilities(network_input(pixels, images.preprocessing)))

    def end(self, record: CheckpointRecord) -> None:
        """Show the record of a finished training."""
        self._drawn(record)
        if self._page is not None:
            self._page.finish(_figures(record))


@contextlib.contextmanager
def following(plot: Path | None, watch: int | None, on_note: Callable[[str], None]) -> Iterator[Following]:
    """Open what follows a training. Errors of the training appear on the page too.

    Args:
        plot: file for the plot, which is written at the end; see `curves`.
        watch: port of the live page on the loopback; 0 is any free port.
        on_note: called with the address of the page.

    Raises:
        UsageError: the port is in use, or the plot has an unknown format.
        EdgecnnError: the plot cannot be written.
    """
    with contextlib.ExitStack() as stack:
        page: LivePage | None = None
        drawn: Callable[[CheckpointRecord], None] = _ignore
        if plot is not None:
            check_plot(plot)
            from edgecnn.pipeline.training.curves import curves  # needs Matplotlib
        if watch is not None:
            from edgecnn.pipeline.training.watching.live_page import live_page

            page = stack.enter_context(live_page(watch))
            on_note(f"live page: {page.address}")
        if plot is not None:
            drawn = stack.enter_context(curves(plot))
        yield Following(drawn, page)


def _ignore(record: CheckpointRecord) -> None:
    """Show nothing."""


def _figures(record: CheckpointRecord) -> "Figures":
    """Return what the page shows of a record."""
    from edgecnn.pipeline.training.watching.live_page import Figures

    return Figures(
        record.network.architecture,
        record.source,
        record.options.epochs,
        record.best_epoch,
        record.test_top1,
        record.history,
    )
