"""Chooses the threshold on some unseen images, and bounds the disagreement with the reference on others."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.cascade_record import CascadeCost, CascadeCounts
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ProofFailed
from edgecnn.pipeline.cascades.bound import images_needed, upper_bound
from edgecnn.pipeline.cascades.opened_pair import OpenedPair
from edgecnn.pipeline.cascades.self_test import Doubtful
from edgecnn.pipeline.cascades.threshold import Choice, choose_threshold
from edgecnn.pipeline.cascades.unseen import UnseenImages
from edgecnn.pipeline.data.source import Split
from edgecnn.prediction import margin_per_image
from edgecnn.progress import Progress
from edgecnn.runtime.verification.answers import answers_of, same
from edgecnn.runtime.verification.evaluation import Evaluation
from edgecnn.runtime.verification.paired import say_needed

_DOUBTFUL = 64  # images with small margins, from which the self-test is completed


@dataclass(frozen=True)
class Chosen:
    """The threshold, its effect on the choosing images, and what the cascade answers to them."""

    choice: Choice
    fast_agreement: float
    evaluation: Evaluation
    logits: np.ndarray
    doubtful: Doubtful


def choose(opened: OpenedPair, images: UnseenImages, limit: float, progress: Progress) -> Chosen:
    """Choose the threshold on the choosing images, on one engine. See `choose_threshold`.

    Raises:
        ProofFailed: the fast graph alone is enough, or every image runs again.
        SourceError: too many images cannot be decoded.
        EngineError: an engine failed.
    """
    sessions = {"fast": opened.fast_sessions[opened.engine], "accurate": opened.accurate_sessions[opened.engine]}
    found = opened.evaluate(sessions, images.choosing, progress)
    scores = opened.accurate.manifest.scores
    fast, accurate = found.logits["fast"], found.logits["accurate"]
    expected = answers_of(found.logits["reference"], scores)
    differs = ~same(answers_of(fast, scores), expected)
    _check_needed(opened, int(differs.sum()), len(differs), limit)
    margins = margin_per_image(fast, scores)
    choice = choose_threshold(
        margins,
        differs,
        ~same(answers_of(accurate, scores), expected),
        limit=limit,
        bounding=len(images.bounding),
    )
    if choice.again == choice.images:
        raise _not_worth(opened.accurate, "every image runs again")
    again = ~(margins >= choice.threshold)
    lowest = np.argsort(margins, kind="stable")[:_DOUBTFUL]
    assert isinstance(found.images, Split)
    doubtful = Doubtful(found.images.pixels(lowest, opened.accurate.manifest.preprocessing), accurate[lowest])
    logits = np.where(again[:, None], accurate, fast)
    return Chosen(choice, 1 - float(differs.mean()), found, logits, doubtful)


def _check_needed(opened: OpenedPair, differing: int, images: int, limit: float) -> None:
    """Check that the fast graph alone does not reach the agreement.

    Raises:
        ProofFailed: it does.
    """
    largest = upper_bound(differing, images)
    if largest <= limit:
        raise ProofFailed(
            f"no cascade is needed: {images - differing} of {images} answers of the fast graph alone agree with the "
            f"reference, at least {1 - largest:.2%} with 95 % confidence, and {1 - limit:.2%} is needed: use "
            f"{opened.fast.path} alone, or raise --min-agreement"
        )


def bound(
    opened: OpenedPair, images: UnseenImages, chosen: Chosen, limit: float, progress: Progress
) -> tuple[CascadeCounts, ...]:
    """Count the differing answers on the bounding images on every engine.

    Raises:
        ProofFailed: the bound exceeds the limit, or no image runs again.
    """
    cascades = opened.cascades(chosen.choice.threshold)
    found = opened.evaluate(dict(cascades), images.bounding, progress)
    scores = opened.accurate.manifest.scores
    expected, total = answers_of(found.logits["reference"], scores), len(found.images)
    counts = tuple(
        CascadeCounts(
            name,
            total,
            session.counts.again,
            int((~same(answers_of(found.logits[name], scores), expected)).sum()),
            0,
            0,
        )
        for name, session in cascades.items()
    )
    worst = max(counts, key=lambda each: each.differing)
    largest = upper_bound(worst.differing, total)
    on = f"{total - worst.differing} of {total} answers on {worst.engine} agree with the reference"
    if largest > limit:
        needed = images_needed(worst.differing, total, limit)
        more = "no threshold is enough for --min-agreement, or these images are unlike the choosing images"
        if needed is not None:
            more = f"at this rate {say_needed(2 * needed)} needed for threshold and bound"
        raise ProofFailed(
            f"{on}, at least {1 - largest:.2%} with 95 % confidence, and {1 - limit:.2%} is needed: {more}; no bundle "
            f"was written"
        )
    if chosen.choice.threshold == 0:  # the accurate graph differs where the fast one does
        raise ProofFailed(f"no cascade is needed: {on} without the accurate graph: use {opened.fast.path} alone")
    return counts


def check_worth(accurate: Bundle, cost: CascadeCost, share: float) -> None:
    """Check that a cascade is faster than its accurate graph.

    Raises:
        ProofFailed: it is not.
    """
    if cost.expected_ms >= cost.accurate_ms:
        raise _not_worth(
            accurate,
            f"{share:.1%} of the images run again, and the expected time of an image is {cost.expected_ms:.3g} ms, "
            f"{cost.accurate_ms:.3g} ms with the accurate graph alone",
        )


def _not_worth(accurate: Bundle, reason: str) -> ProofFailed:
    return ProofFailed(
        f"the accurate graph alone is faster: {reason}: use {accurate.path} alone, lower --min-agreement, or pass a "
        f"fast bundle that agrees more often; no bundle was written"
    )
