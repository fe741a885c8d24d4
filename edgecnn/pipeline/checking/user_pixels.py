"""Find the options under which the stated preprocessing would give the user's pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.pipeline.checking.levels import Levels
from edgecnn.pipeline.checking.statements import (
    Statement,
    interpolations,
    normalization_words,
    resizes,
    reversals,
    takes_bgr,
)
from edgecnn.pipeline.checking.subject import Subject

_MOST_TRIED = 6
_LEAST_CONTRAST = 8.0
"""Standard deviation of a channel's levels below which its mean and standard deviation are not determined."""


def cause(
    theirs: np.ndarray, paths: Sequence[Path], is_lossy: Sequence[bool], bad: Sequence[int], subject: Subject
) -> str:
    """Return a part of a message that names the options that match the user's pixels; empty if none do.

    Args:
        theirs: the user's inputs, float32 [N, C, H, W].
        paths: the N image files.
        is_lossy: whether each is a JPEG or WebP file.
        bad: the images that differ.
        subject: the reference.
    """
    chosen = list(bad[:_MOST_TRIED])
    pixels, files, lossy = theirs[chosen], [paths[i] for i in chosen], [is_lossy[i] for i in chosen]
    for statement in _candidates(subject):
        ours = statement.inputs_of(files, subject.session)
        levels = Levels.of(statement, subject.session)
        if statement.words and all(each.holds for each in levels.differences(pixels, ours, lossy)):
            return f"; they match with {statement}"
        is_bgr = statement.is_reversed != takes_bgr(subject.session, statement.preprocessing)
        fitted = _fitted(statement, levels.to_levels(ours), pixels, is_bgr=is_bgr)
        if fitted is not None:
            levels = Levels.of(fitted, subject.session)
            ours = fitted.inputs_of(files, subject.session)
            if all(each.holds for each in levels.differences(pixels, ours, lossy)):
                return f"; they match with {fitted}"
    return ""


def _candidates(subject: Subject) -> Iterator[Statement]:
    """Yield the statements that differ in the order of the channels, the filter, or the resize and crop."""
    stated = Statement(subject.reference.preprocessing)
    orders = [stated, *reversals(stated, subject.session, has_option=subject.has_channel_order)]
    for order in orders:
        yield order
    for order in orders:
        yield from interpolations(order)
        yield from resizes(order, subject.size)
    for order in orders:
        for resize in resizes(order, subject.size):
            yield from interpolations(resize)


def _fitted(statement: Statement, levels: np.ndarray, theirs: np.ndarray, *, is_bgr: bool) -> Statement | None:
    """Return the statement with the mean and standard deviation that fit the user's inputs best.

    An input is (level / 255 - mean) / std. The fit is a line through (level, input) for each channel by least squares.

    Args:
        statement: how the levels were prepared.
        levels: float32 [N, C, H, W].
        theirs: the user's inputs, likewise.
        is_bgr: whether their channels are in the order BGR.

    Returns:
        The statement; None if a channel has too little contrast, or its line does not increase.
    """
    mean, std = [], []
    for ours, found in zip(levels.swapaxes(0, 1), theirs.swapaxes(0, 1), strict=True):
        x, y = ours.ravel().astype(np.float64), found.ravel().astype(np.float64)
        if x.std() < _LEAST_CONTRAST:
            return None
        slope = float(np.mean((x - x.mean()) * (y - y.mean())) / x.var())
        if slope <= 0:
            return None
        offset = float(y.mean() - slope * x.mean())
        mean.append(-offset / slope / 255)
        std.append(1 / (slope * 255))
    if max(map(abs, mean)) > 1 or min(std) < 1e-4:
        return None
    words = (*statement.words, normalization_words(mean, std))
    order = slice(None, None, -1) if is_bgr else slice(None)
    changed = replace(statement.preprocessing, mean=tuple(mean[order]), std=tuple(std[order]))
    return replace(statement, preprocessing=changed, words=words)
