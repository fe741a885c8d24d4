"""Choose the margin below which an answer is unsure, from labelled images.

The margin of an answer is its distance from another answer, in logits; see `edgecnn.prediction.margins`. For a softmax
over two classes, a margin of 2.2 is a probability of 90 %.
"""

import math
import warnings
from dataclasses import replace

import numpy as np

from edgecnn.bundle.manifest import DataReference, Scores
from edgecnn.bundle.proof import UnsureRecord
from edgecnn.errors import SourceError, SourceWarning, UsageError
from edgecnn.pipeline.data.held_out import training_and_validation, unreserved
from edgecnn.pipeline.data.matching import match_classes
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.reference import Reference
from edgecnn.prediction import are_sure, margin_per_image
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.verification.answers import answers_of, same
from edgecnn.runtime.verification.evaluation import Evaluation, evaluate

RIGHT = 0.99
"""Least share of right answers among the sure ones, and of sure answers among the right ones."""
LEAST_SURE = 50
"""Fewest sure answers from which a margin is chosen: a share of 99 % means nothing on fewer images."""
_MOST_IMAGES = 5000


def check_unsure_margin(margin: float | None) -> None:
    """Check a margin that the user set.

    Raises:
        UsageError: it is negative or not finite.
    """
    if margin is not None and not 0 <= margin < math.inf:
        raise UsageError(f"--unsure-margin must be a number of at least 0, found {margin}")


def choose_margin(logits: np.ndarray, targets: np.ndarray, scores: Scores) -> float | None:
    """Return the margin below which an answer is unsure; None if it cannot be chosen.

    It is the larger of two margins. With the first, at least 99 % of the sure answers are right, and it is the smallest
    such margin. The second is reached by 99 % of the right answers, so that it also applies to accurate networks, for
    images that are unlike all of these.

    Args:
        logits: float32 [N, K].
        targets: int64 [N], or for several labels int64 [N, K] of 0 and 1.
        scores: how logits become answers.
    """
    margins, right = margin_per_image(logits, scores), same(answers_of(logits, scores), targets)
    order = np.argsort(-margins, kind="stable")
    ordered, counts = margins[order], np.arange(1, len(order) + 1)
    ends = np.append(ordered[1:] != ordered[:-1], True)  # equal margins are sure together
    is_enough = ends & (counts >= LEAST_SURE) & (np.cumsum(right[order]) >= RIGHT * counts)
    if not is_enough.any():
        return None
    accurate = float(ordered[np.flatnonzero(is_enough)[-1]])
    usual = float(np.quantile(margins[right], 1 - RIGHT, method="lower"))
    chosen = max(accurate, usual)
    return float(f"{chosen:.4g}") if math.isfinite(chosen) else None


def sealed_margin(
    reference: Reference,
    session: Session,
    evaluation: Evaluation,
    logits: np.ndarray,
    *,
    given: float | None = None,
    progress: Progress = silent,
) -> tuple[float | None, UnsureRecord | None]:
    """Return the margin to seal in a bundle, and its record; both are None without labelled images.

    It is chosen on the images that training held out, or else on the images of the proof.

    Args:
        reference: the reference of the bundle.
        session: a session of the new graph.
        evaluation: the evaluation of the proof.
        logits: its logits of the new graph, float32 [N, K].
        given: a margin that the user set.
        progress: called at each stage.
    """
    if given is not None:
        return given, unsure_record(given, logits, evaluation, reference.scores, None)
    held_out = _held_out(reference)
    if held_out is not None:
        found = evaluate(
            {"graph": session}, held_out, reference.preprocessing, classes=logits.shape[1], progress=progress
        )
        images, targets, known = found.data, found.targets, found.logits["graph"]
    else:
        images, targets, known = evaluation.data, evaluation.targets, logits
    margin = None if targets is None else choose_margin(known, targets, reference.scores)
    if margin is None:
        return None, None
    return margin, unsure_record(margin, logits, evaluation, reference.scores, images)


def unsure_record(
    margin: float, logits: np.ndarray, evaluation: Evaluation, scores: Scores, images: DataReference | None
) -> UnsureRecord:
    """Return how many answers to the images of the proof are sure, and how many of these are right.

    Args:
        margin: the margin.
        logits: the graph's logits of these images, float32 [N, K].
        evaluation: the evaluation of the proof.
        scores: how logits become answers.
        images: the images from which the margin was chosen; None if the user set it.
    """
    sure, targets = are_sure(logits, replace(scores, unsure_margin=margin)), evaluation.targets
    right = None if targets is None else int((sure & same(answers_of(logits, scores), targets)).sum())
    return UnsureRecord(images, len(logits), int(sure.sum()), right)


def _held_out(reference: Reference) -> Split | None:
    """Return the images that training held out, at most 5,000; None if there are none, or they are not here."""
    record = reference.held_out
    if record is None or reference.data is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)  # the proof has reported them
        try:
            source = open_source(reference.data)
            _, found = training_and_validation(
                source, unreserved(source.split("train"), reference.reserved), record.share
            )
        except SourceError:
            return None
        if found.digest != record.images.digest:
            return None
        few = found.subset(range(0, len(found), math.ceil(len(found) / _MOST_IMAGES)))
        return match_classes(few, source.labels, reference.labels, "the network")
