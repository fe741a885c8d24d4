"""What a user should know of a data source before training on it."""

from collections import Counter

from edgecnn.pipeline.data.source import DataSource, Split

_NAMED = 3


def complaints(source: DataSource, training: Split, test: Split) -> list[str]:
    """Return a line for each thing that would make a result better than it is, or the images other than they are."""
    found = [*_shared(training, test), *getattr(source, "complaints", ())]
    counts = Counter(test.known_targets().tolist())
    missing = [label for target, label in enumerate(source.labels) if not counts[target]]
    if missing:
        found.append(f"{source.name} has no test images of {', '.join(missing)}: top-1 says nothing of them")
    return found


def _shared(training: Split, test: Split) -> list[str]:
    """Name and count the images that stand in both splits."""
    known = {training.images.digest(index): index for index in range(len(training))}
    pairs = [(known[digest], index) for index in range(len(test)) if (digest := test.images.digest(index)) in known]
    if not pairs:
        return []
    names = [f"{training.name_of(mine)} = {test.name_of(theirs)}" for mine, theirs in pairs[:_NAMED]]
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    return [
        f"{len(pairs)} of {len(test)} test images of {training.source} are training images too "
        f"({'; '.join(names)}{more}): top-1 on them proves nothing"
    ]
