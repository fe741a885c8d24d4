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


def match_classes(
    split: Split, labels: Sequence[str], expected: Sequence[str], subject: str, *, multi_label: bool = False
) -> Split:
    """Return a split whose targets are indices into `expected` instead of `labels`. Images without classes stay so.

    Names match in any order, after Unicode normalization (NFC). `subject` names the model in messages. `multi_label` is
    whether the model has several labels per image: the columns of the targets are then in the order of `expected`.

    Warns:
        SourceWarning: the images cover some of the model's classes only.

    Raises:
        SourceError: images have a class that the model does not have, or has twice; or only one of images and model has
            several labels; or images with several labels do not have each label of the model.
    """
    fault = _fault(split, labels, expected, subject, multi_label=multi_label)
    if fault is not None:
        raise SourceError(": ".join(fault))
    if split.targets is None or tuple(labels) == tuple(expected):
        return split
    counts = Counter(map(_normal, expected))
    present = [int(target) for target in _present(split)]
    twice = [labels[target] for target in present if counts[_normal(labels[target])] > 1]
    if twice:
        raise SourceError(
            f"{split.source} has images of {listed(twice)}, a name that {subject} has for several classes: "
            f"give the classes of {subject} different names"
        )
    if multi_label:
        column_of = {_normal(name): column for column, name in enumerate(labels)}
        return dataclasses.replace(split, targets=split.targets[:, [column_of[_normal(name)] for name in expected]])
    index_of = {_normal(name): index for index, name in enumerate(expected)}
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
    split: Split,
    labels: Sequence[str],
    expected: Sequence[str],
    subject: str,
    *,
    consequence: str,
    multi_label: bool = False,
) -> Split:
    """Match the classes as `match_classes` does, or drop all of them if they are not classes of `subject`.

    Warns:
        SourceWarning: the classes are dropped; the message ends with the `consequence`.
    """
    fault = _fault(split, labels, expected, subject, multi_label=multi_label)
    if fault is None:
        return match_classes(split, labels, expected, subject, multi_label=multi_label)
    report(f"{fault[0]}: {consequence}", strict=split.strict)
    return dataclasses.replace(split, targets=None)


def _fault(
    split: Split, labels: Sequence[str], expected: Sequence[str], subject: str, *, multi_label: bool
) -> tuple[str, str] | None:
    """Return why the classes of images are not classes of the model, and what to do; None if they are."""
    if split.targets is None:
        return None
    if split.has_several_labels and not multi_label:
        remedy = "pass images with one class each, as in an image folder"
        return f"{split.source} has several labels per image, and {subject} has one", remedy
    if multi_label and not split.has_several_labels:
        remedy = "pass a CSV file with the header path,LABEL,LABEL,… and 0 or 1 in each cell"
        return f"{split.source} has one class per image, and {subject} has several labels", remedy
    known = set(map(_normal, expected))
    unknown = [labels[int(target)] for target in _present(split) if _normal(labels[int(target)]) not in known]
    if unknown:
        remedy = f"expected {listed(expected)}; rename or remove these classes"
        return f"{split.source} has images of {listed(unknown)}, which {subject} does not have", remedy
    given = set(map(_normal, labels))
    missing = [name for name in expected if _normal(name) not in given] if multi_label else []
    if missing:
        remedy = f"expected a column for each of {listed(expected)}"
        return f"{split.source} has no column {listed(missing)}, a label of {subject}", remedy
    return None


def _present(split: Split) -> np.ndarray:
    """Return the classes that images have, int64, sorted."""
    assert split.targets is not None
    return np.flatnonzero(split.targets.any(axis=0)) if split.targets.ndim == 2 else np.unique(split.targets)


def listed(names: Sequence[str]) -> str:
    """Return the first class names of a list, for a message."""
    return few(names, _NAMED)


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
