"""Warnings about a data source before training: reasons why a result may look too good, or the classes unclear."""

from collections import Counter
from collections.abc import Sequence

from edgecnn.hints import few
from edgecnn.pipeline.data.source import DataSource, Split


def dataset_warnings(source: DataSource, training: Split, test: Split) -> list[str]:
    """Return warnings about a source, one line each."""
    found = [*_shared(training, test), *_contradictory(training, source.labels)]
    counts = Counter(test.known_targets().tolist())
    missing = [label for target, label in enumerate(source.labels) if not counts[target]]
    if missing:
        found.append(f"{source.name} has no test images of {', '.join(missing)}: top-1 does not cover these classes")
    return found


def _shared(training: Split, test: Split) -> list[str]:
    known = {training.images.digest(index): index for index in range(len(training))}
    pairs = [(known[digest], index) for index in range(len(test)) if (digest := test.images.digest(index)) in known]
    if not pairs:
        return []
    names = [f"{training.name_of(mine)} = {test.name_of(theirs)}" for mine, theirs in pairs]
    return [
        f"{len(pairs)} of {len(test)} test images of {training.source} are also training images "
        f"({few(names, separator='; ')}): top-1 on them is not meaningful"
    ]


def _contradictory(training: Split, labels: Sequence[str]) -> list[str]:
    """Return a warning about images that are in several classes."""
    targets = training.known_targets().tolist()
    first: dict[bytes, int] = {}
    pairs = []
    for index, target in enumerate(targets):
        other = first.setdefault(training.images.digest(index), index)
        if targets[other] != target:
            pairs.append((other, index))
    if not pairs:
        return []
    names = [f"{training.name_of(one)} = {training.name_of(two)}" for one, two in pairs]
    classes = sorted({labels[targets[index]] for pair in pairs for index in pair})
    return [
        f"{len(pairs)} training images of {training.source} are in two classes, {', '.join(classes[:5])} "
        f"({few(names, separator='; ')}): remove the wrong copies"
    ]
