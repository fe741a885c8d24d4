"""A bundle's answers beside its reference's, as statistics: how sure each figure is, and which images are flipped.

The sealed `Comparison` holds what a proof promises; this holds what a person wants to know of one device's answers.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.proof import PairedDrop
from edgecnn.prediction import log_softmax
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.verification.paired import mcnemar, paired_drop
from edgecnn.runtime.verification.replay import margins


@dataclass(frozen=True)
class Flip:
    """An image that bundle and reference answer differently.

    Attributes:
        image: its path within the source, or its number.
        index: its place in the split.
        reference: label that the reference answers.
        answer: label that the bundle answers.
        target: label that is right; None where nobody knows it.
        reference_margin: how far the reference's best logit is above its second.
        margin: how far the bundle's is; None where its logits are not finite.
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
    """What two classifiers' answers to the same images say.

    Attributes:
        reference_top1: how often the reference is right; None where nobody knows the targets, as for the next three.
        top1: how often the bundle is right.
        drop: what the bundle lost against the reference, image by image.
        mcnemar_p: how often two equally good classifiers would differ at least as unevenly as these.
        agreement: how often both give the same answer.
        kl_nats: mean Kullback-Leibler divergence of the bundle's probabilities from the reference's; None where a logit
            is not finite.
        flipped: how many images they answer differently.
        flips: which, the reference's surest answers first; a record keeps the first of them only.
    """

    reference_top1: Rate | None
    top1: Rate | None
    drop: PairedDrop | None
    mcnemar_p: float | None
    agreement: Rate
    kl_nats: float | None
    flipped: int
    flips: tuple[Flip, ...]

    def limited(self, flips: int) -> "Agreement":
        """Return the same with so many flips at most; `flipped` still counts all."""
        return dataclasses.replace(self, flips=self.flips[:flips])


def agree(
    reference: np.ndarray,
    logits: np.ndarray,
    *,
    targets: np.ndarray | None,
    labels: tuple[str, ...],
    name_of: Callable[[int], str],
) -> Agreement:
    """Compare a bundle's logits with the reference's finite ones, both float32 [N, K] with N at least 1.

    `targets` is int64 [N], or None if unknown; `labels` has K names, and `name_of` names the image at an index.
    """
    expected, found = reference.argmax(axis=1), logits.argmax(axis=1)
    flips = _flips(reference, logits, targets, labels, name_of)
    drop = None if targets is None else paired_drop(expected == targets, found == targets)
    return Agreement(
        reference_top1=None if targets is None else _count(expected == targets),
        top1=None if targets is None else _count(found == targets),
        drop=drop,
        mcnemar_p=None if drop is None else mcnemar(drop.lost, drop.won),
        agreement=_count(expected == found),
        kl_nats=divergence(reference, logits),
        flipped=len(flips),
        flips=flips,
    )


def divergence(reference: np.ndarray, logits: np.ndarray) -> float | None:
    """Return the mean Kullback-Leibler divergence of the softmax of logits [N, K] from the reference's, in nats.

    Kullback and Leibler, On Information and Sufficiency, 1951. None if a logit is not finite.
    """
    if not np.isfinite(logits).all():
        return None
    expected, found = log_softmax(reference), log_softmax(logits)
    # It is never negative; a sum of rounded terms may be.
    return max(0.0, float((np.exp(expected) * (expected - found)).sum(axis=1).mean()))


def _count(right: np.ndarray) -> Rate:
    return rate(int(right.sum()), len(right))


def _flips(
    reference: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray | None,
    labels: tuple[str, ...],
    name_of: Callable[[int], str],
) -> tuple[Flip, ...]:
    """List the images with different answers, by descending margin of the reference."""
    expected, found = reference.argmax(axis=1), logits.argmax(axis=1)
    places = np.flatnonzero(expected != found)
    finite = np.isfinite(logits[places]).all(axis=1)
    sure, unsure = margins(reference[places]), margins(np.where(finite[:, None], logits[places], 0))
    return tuple(
        Flip(
            image=name_of(int(index)),
            index=int(index),
            reference=labels[expected[index]],
            answer=labels[found[index]],
            target=None if targets is None else labels[targets[index]],
            reference_margin=float(sure[position]),
            margin=float(unsure[position]) if finite[position] else None,
        )
        for position, index in ((int(each), places[each]) for each in np.argsort(-sure, kind="stable"))
    )
