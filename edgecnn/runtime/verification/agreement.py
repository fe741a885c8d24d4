"""Statistics of the agreement between a bundle and its reference: rates with intervals, and a list of flips.

The sealed `Comparison` contains what a proof promises. `Agreement` describes the answers on one device.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.proof import PerClass
from edgecnn.prediction import log_sigmoid, log_softmax, margins
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.verification.answers import answers_of, named, same
from edgecnn.runtime.verification.paired import mcnemar, paired_drop
from edgecnn.runtime.verification.per_class import per_class


@dataclass(frozen=True)
class Flip:
    """An image for which bundle and reference give different labels.

    Attributes:
        image: path within the data source, or number.
        index: index in the split.
        reference: the reference's label; several are separated by commas, and `none` means no label.
        answer: the bundle's label, likewise.
        target: the correct label, likewise; None if unknown.
        reference_margin: difference of the reference's best and second-best logit; for several labels the largest
            distance from the threshold of a label that differs.
        margin: the same for the bundle; None if its logits are not finite.
    """

    image: str
    index: int
    reference: str
    answer: str
    target: str | None
    reference_margin: float
    margin: float | None


@dataclass(frozen=True)
class Agreement:
    """Statistics of two classifiers' answers to the same images.

    For a network with several labels, top-1 is the rate of images whose labels are all correct.

    Attributes:
        reference_top1: the reference's top-1; None without targets, like the next three.
        top1: the bundle's top-1.
        drop: the bundle's paired drop against the reference.
        mcnemar_p: p-value of McNemar's test: the probability of such uneven pairs for two equally good classifiers.
        agreement: share of images with the same label.
        kl_nats: mean Kullback-Leibler divergence of the bundle's probabilities from the reference's; None if a logit is
            not finite.
        flipped: number of images with different labels.
        flips: these images, by descending margin of the reference; a record contains only the first ones.
        per_class: the answers per class; None in records of earlier versions.
    """

    reference_top1: Rate | None
    top1: Rate | None
    drop: PairedDrop | None
    mcnemar_p: float | None
    agreement: Rate
    kl_nats: float | None
    flipped: int
    flips: tuple[Flip, ...]
    per_class: PerClass | None = None

    def limited(self, flips: int) -> "Agreement":
        """Return a copy with at most `flips` flips. `flipped` still counts all."""
        return dataclasses.replace(self, flips=self.flips[:flips])


def agree(
    reference: np.ndarray,
    logits: np.ndarray,
    *,
    targets: np.ndarray | None,
    labels: tuple[str, ...],
    name_of: Callable[[int], str],
    scores: Scores = SOFTMAX,
) -> Agreement:
    """Compare a bundle's logits with the reference's, both float32 [N, K] with N at least 1.

    The reference's logits must be finite. `targets` is int64 [N], or for several labels int64 [N, K] of 0 and 1; None
    if unknown. `labels` has K names, and `name_of` returns the name of the image at an index.
    """
    expected, found = answers_of(reference, scores), answers_of(logits, scores)
    flips = _flips(reference, logits, targets, labels, name_of, scores=scores)
    rights = None if targets is None else (same(expected, targets), same(found, targets))
    drop = None if rights is None else paired_drop(*rights)
    return Agreement(
        reference_top1=None if rights is None else _count(rights[0]),
        top1=None if rights is None else _count(rights[1]),
        drop=drop,
        mcnemar_p=None if drop is None else mcnemar(drop.lost, drop.won),
        agreement=_count(same(expected, found)),
        kl_nats=divergence(reference, logits, scores),
        flipped=len(flips),
        flips=flips,
        per_class=per_class(expected, found, targets=targets, labels=labels),
    )


def divergence(reference: np.ndarray, logits: np.ndarray, scores: Scores = SOFTMAX) -> float | None:
    """Return the mean Kullback-Leibler divergence of the scores of logits [N, K] from the reference's, in nats.

    Sigmoids are K independent distributions, whose divergences are added.

    Return None if a logit is not finite. Kullback and Leibler, On Information and Sufficiency, 1951.
    """
    if not np.isfinite(logits).all():
        return None
    if scores.activation == "softmax":
        pairs = [(log_softmax(reference), log_softmax(logits))]
    else:
        pairs = [(log_sigmoid(sign * reference), log_sigmoid(sign * logits)) for sign in (1, -1)]
    terms = sum(np.exp(expected) * (expected - found) for expected, found in pairs)
    # The divergence is never negative, but a sum of rounded terms can be.
    return max(0.0, float(np.sum(terms, axis=1).mean()))


def _count(right: np.ndarray) -> Rate:
    return rate(int(right.sum()), len(right))


def _flips(
    reference: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray | None,
    labels: tuple[str, ...],
    name_of: Callable[[int], str],
    *,
    scores: Scores,
) -> tuple[Flip, ...]:
    """Return the images with different labels, by descending margin of the reference."""
    expected, found = answers_of(reference, scores), answers_of(logits, scores)
    places = np.flatnonzero(~same(expected, found))
    differs = (expected != found)[places]
    finite = np.isfinite(logits[places]).all(axis=1)
    sure = _largest_margins(reference[places], differs, scores)
    unsure = _largest_margins(np.where(finite[:, None], logits[places], 0), differs, scores)
    return tuple(
        Flip(
            image=name_of(int(index)),
            index=int(index),
            reference=named(expected[index], labels),
            answer=named(found[index], labels),
            target=None if targets is None else named(targets[index], labels),
            reference_margin=float(sure[position]),
            margin=float(unsure[position]) if finite[position] else None,
        )
        for position, index in ((int(each), places[each]) for each in np.argsort(-sure, kind="stable"))
    )


def _largest_margins(logits: np.ndarray, differs: np.ndarray, scores: Scores) -> np.ndarray:
    """Return for each image, float [N], the largest margin of the decisions that differ."""
    found = np.where(differs, margins(logits, scores), 0)
    return found if found.ndim == 1 else found.max(axis=1)
