"""Match the classes of images with the classes of a model, by name."""

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgecnn.errors import SourceError
from edgecnn.hints import few
from edgecnn.pipeline.data.source import Split, report

_NAMED = 5  # classes named in a message


def match_classes(split: Split, labels: Sequence[str], expected: Sequence[str], subject: str) -> Split:
    """Return a split whose targets are indices into `expected` instead of `labels`. Images without classes stay so.

    Names match in any order, after Unicode normalization (NFC). `subject` names the model in messages.

    Warns:
        SourceWarning: the images cover some of the model's classes only.

    Raises:
        SourceError: images have a class that the model does not have, or has twice.
    """
    if split.targets is None or tuple(labels) == tuple(expected):
        return split
    unknown = _unknown(split, labels, expected)
    if unknown:
        raise SourceError(
            f"{split.source} has images of {listed(unknown)}, which {subject} does not have: "
            f"expected {listed(expected)}; rename or remove these classes"
        )
    index_of = {_normal(name): index for index, name in enumerate(expected)}
    present = [int(target) for target in np.unique(split.targets)]
    counts = Counter(map(_normal, expected))
    twice = [labels[target] for target in present if counts[_normal(labels[target])] > 1]
    if twice:
        raise SourceError(
            f"{split.source} has images of {listed(twice)}, a name that {subject} has for several classes: "
            f"give the classes of {subject} different names"
        )
    targets = np.zeros(len(labels), np.int64)
    for target in present:
        targets[target] = index_of[_normal(labels[target])]
    if len(present) < len(expected):
        report(
            f"{split.source} has images of {len(present)} of the {len(expected)} classes of {subject}: "
            f"accuracy covers these classes only",
            strict=split.strict,
        )
    return dataclasses.replace(split, targets=targets[split.targets])


def match_or_drop_classes(
    split: Split, labels: Sequence[str], expected: Sequence[str], subject: str, *, consequence: str
) -> Split:
    """Match the classes as `match_classes` does, or drop all of them if `subject` does not have one of them.

    Warns:
        SourceWarning: the classes are dropped; the message ends with the `consequence`.
    """
    unknown = _unknown(split, labels, expected)
    if not unknown:
        return match_classes(split, labels, expected, subject)
    report(
        f"{split.source} has images of {listed(unknown)}, which {subject} does not have: {consequence}",
        strict=split.strict,
    )
    return dataclasses.replace(split, targets=None)


def _unknown(split: Split, labels: Sequence[str], expected: Sequence[str]) -> list[str]:
    """Return the classes of the images that are not in `expected`."""
    known = set(map(_normal, expected))
    present = () if split.targets is None else np.unique(split.targets)
    return [labels[int(target)] for target in present if _normal(labels[int(target)]) not in known]


def listed(names: Sequence[str]) -> str:
    """Return the first class names of a list, for a message."""
    return few(names, _NAMED)


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
