"""Checks that two bundles can form a cascade, and finds what they are compared with."""

import dataclasses

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.files import schema
from edgecnn.hints import few

_SHOWN = 5  # labels in a message


def check_pair(fast: Bundle, accurate: Bundle) -> None:
    """Check that two bundles have the same input, labels and scores, and are different bundles.

    Raises:
        UsageError: they do not fit together. The message names both values.
    """
    for bundle in (fast, accurate):
        if bundle.manifest.cascade is not None:
            raise UsageError(f"{bundle.path} is a cascade already: expected bundles with one graph")
    if fast.digest == accurate.digest:
        raise UsageError(f"{fast.path} and {accurate.path} are the same bundle: pass a more accurate one as ACCURATE")
    first, second = fast.manifest, accurate.manifest
    if first.labels != second.labels:
        raise UsageError(f"{fast.path} and {accurate.path} have other labels: {_labels_differ(fast, accurate)}")
    scores = [schema.dump(dataclasses.replace(each.scores, unsure_margin=None)) for each in (first, second)]
    for what, one, other in (
        ("scores", *scores),
        ("images", _shape(fast), _shape(accurate)),
        ("preprocessing", schema.dump(first.preprocessing), schema.dump(second.preprocessing)),
    ):
        if one != other:
            raise UsageError(
                f"{fast.path} and {accurate.path} have other {what}: {_differing_lines(one, other)}: "
                f"both graphs of a cascade get the same pixels and make the same kind of answer"
            )


def reference_of(accurate: Bundle, given: Bundle | None) -> Bundle:
    """Return the FP32 bundle whose answers are the reference's: the given one, or the accurate bundle itself.

    The proof of an FP32 bundle shows that its logits equal the reference's.

    Raises:
        UsageError: the accurate bundle is not FP32 and none is given, or the given one has another reference.
    """
    if given is None:
        if accurate.manifest.precision != "fp32":
            raise UsageError(
                f"{accurate.path} is {accurate.manifest.precision.upper()}, and the agreement is with its reference: "
                f"pass its FP32 bundle with --reference"
            )
        return accurate
    if given.manifest.precision != "fp32":
        raise UsageError(f"--reference {given.path} is {given.manifest.precision.upper()}: expected an FP32 bundle")
    theirs, ours = given.manifest.reference.digest, accurate.manifest.reference.digest
    if theirs != ours:
        raise UsageError(
            f"--reference {given.path} has the reference {theirs[:12]}, {accurate.path} has {ours[:12]}: "
            f"pass the FP32 bundle from which it was made"
        )
    return given


def _shape(bundle: Bundle) -> str:
    height, width, channels = bundle.manifest.image_shape
    return f"{height} × {width} × {channels}"


def _labels_differ(fast: Bundle, accurate: Bundle) -> str:
    """Return what differs between two lists of labels."""
    ours, theirs = fast.manifest.labels, accurate.manifest.labels
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)}"
    if sorted(ours) == sorted(theirs):
        place = next(index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        return f"in another order, label {place} is {ours[place]!r} and {theirs[place]!r}"
    only = [[label for label in some if label not in others] for some, others in ((ours, theirs), (theirs, ours))]
    return " and ".join(few(list(map(repr, each)), _SHOWN) for each in only)


def _differing_lines(one: str, other: str) -> str:
    """Return the first lines of two JSON texts that differ."""
    pairs = zip(one.splitlines(), other.splitlines(), strict=False)
    first, second = next(((a, b) for a, b in pairs if a != b), (one, other))
    return f"{first.strip().rstrip(',')} and {second.strip().rstrip(',')}"
