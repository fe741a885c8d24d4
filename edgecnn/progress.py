"""The progress callback of long operations. It draws nothing, so that a stage can be used as a library."""

from typing import Protocol


class Progress(Protocol):
    """A callback for the progress of a long operation."""

    def __call__(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Report that `done` of `total` steps of `stage` are finished; `note` contains figures to show."""


def silent(stage: str, done: int, total: int, note: str = "", /) -> None:
    """Ignore progress."""
