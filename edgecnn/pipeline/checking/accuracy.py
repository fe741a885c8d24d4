"""Compare the top-1 of the stated preprocessing with that of statements that are easily confused with it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.pipeline.checking.statements import Statement, interpolations, ranges, reversals, without_crop
from edgecnn.pipeline.checking.subject import Subject
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.proving import evenly
from edgecnn.progress import Progress
from edgecnn.runtime.verification.paired import mcnemar, paired_drop

MOST_IMAGES = 256
_FIRST = 64
"""Images on which every statement is tried. A statement that does better there is tried on all images."""

_BATCH = 16
_LEAST_GAIN = 0.02
_P = 0.01
"""Largest p-value of McNemar's test, after the correction for the number of statements (Bonferroni)."""


@dataclass(frozen=True)
class Better:
    """A statement with a clearly better top-1: top-1 of the stated preprocessing and of this statement."""

    statement: Statement
    stated_top1: float
    top1: float
    images: int

    def __str__(self) -> str:
        gain = (self.top1 - self.stated_top1) * 100
        return (
            f"top-1 is {gain:.1f} points higher with {self.statement} ({self.top1:.1%} instead of "
            f"{self.stated_top1:.1%}, on {self.images} images)"
        )


def better_statement(split: Split, subject: Subject, *, progress: Progress) -> Better | None:
    """Return the statement that is clearly better than the stated preprocessing on labelled images; None if none is.

    Tried are the other order of the channels, other ranges of the pixels, no crop, and other filters of the resize, on
    at most `MOST_IMAGES` images, spread over the classes. A statement is clearly better if top-1 is at least 2 points
    higher and McNemar's exact test gives p < 0.01, corrected for the number of statements.
    """
    if split.targets is None or split.targets.ndim != 1:
        return None
    images = evenly(split, MOST_IMAGES)
    stated, tried = Statement(subject.reference.preprocessing), list(_others(subject))
    steps = len(tried) + 1
    progress("other statements", 0, steps)
    right = _right(images, stated, subject)
    found: list[tuple[PairedDrop, Better]] = []
    for number, other in enumerate(tried, 1):
        progress("other statements", number, steps)
        drop, better = _compared(images, right, other, subject)
        if drop.drop <= -_LEAST_GAIN and mcnemar(drop.lost, drop.won) * len(tried) < _P:
            found.append((drop, better))
    progress("other statements", steps, steps)
    return min(found, key=lambda each: each[0].drop)[1] if found else None


def _others(subject: Subject) -> Iterator[Statement]:
    stated = Statement(subject.reference.preprocessing)
    yield from reversals(stated, subject.session, has_option=subject.has_channel_order)
    yield from ranges(stated)
    yield from without_crop(stated, subject.size)
    yield from interpolations(stated, ("bilinear", "bicubic", "nearest", "opencv-bilinear"))


def _compared(images: Split, right: np.ndarray, other: Statement, subject: Subject) -> tuple[PairedDrop, Better]:
    """Return the drop from the stated preprocessing, bool [N], to another statement."""
    first = images.subset(range(min(_FIRST, len(images))))
    theirs = _right(first, other, subject)
    if theirs.sum() > right[: len(first)].sum() and len(images) > len(first):
        rest = images.subset(range(len(first), len(images)))
        theirs = np.concatenate([theirs, _right(rest, other, subject)])
    stated = right[: len(theirs)]
    return paired_drop(stated, theirs), Better(other, float(stated.mean()), float(theirs.mean()), len(theirs))


def _right(images: Split, statement: Statement, subject: Subject) -> np.ndarray:
    """Return whether the answer to each image is correct, bool [N]."""
    labels = []
    for start in range(0, len(images), _BATCH):
        batch = [images.images[number] for number in range(start, min(start + _BATCH, len(images)))]
        labels.append(subject.session.run_normalised(statement.inputs_of(batch, subject.session)).argmax(axis=1))
    found: np.ndarray = np.concatenate(labels) == images.known_targets()
    return found
