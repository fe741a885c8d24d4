"""How long work says how far it is; it draws nothing, so that every stage stays usable as a library."""

from typing import Protocol


class Progress(Protocol):
    """What long work calls as it goes on."""

    def __call__(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Say that `done` of `total` steps of `stage` are finished; `note` holds figures worth seeing."""


def silent(stage: str, done: int, total: int, note: str = "", /) -> None:
    """Ignore all progress."""
