"""Runs the bundles of a family on labelled images: accuracy, confusion, calibration, and the images that flip."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import DataReference, Scores
from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.data.matching import match_classes
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics, measure_labels
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics, measure
from edgecnn.pipeline.quantization.calibration_config import check_unseen
from edgecnn.pipeline.reporting.families import Family, Subject
from edgecnn.pipeline.reporting.thumbnails import thumbnail
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.rates import Rate
from edgecnn.runtime.verification.agreement import Agreement, Flip, agree
from edgecnn.runtime.verification.evaluation import EvaluationImages, evaluate

Metrics = ClassificationMetrics | MultiLabelMetrics


@dataclass(frozen=True)
class BundleAnswers:
    """A bundle's answers: the session that ran, and its metrics."""

    subject: Subject
    session: SessionInfo
    metrics: Metrics

    @property
    def accuracy(self) -> Rate:
        """Top-1, or the rate of exact matches for several labels."""
        found = self.metrics
        return found.exact_match if isinstance(found, MultiLabelMetrics) else found.top1


@dataclass(frozen=True)
class ShownFlip:
    """An image that flips, with its picture."""

    flip: Flip
    picture: str


@dataclass(frozen=True)
class PairAnswers:
    """The answers of a bundle compared with the answers of the FP32 bundle.

    Attributes:
        subject: the bundle.
        agreement: the comparison. Its `flips` are the shown ones.
        flips: the images that flip, the largest margin of the FP32 bundle first.
    """

    subject: Subject
    agreement: Agreement
    flips: tuple[ShownFlip, ...]


@dataclass(frozen=True)
class FamilyAnswers:
    """The answers of the bundles of one reference to the same images."""

    data: DataReference
    bundles: tuple[BundleAnswers, ...]
    pairs: tuple[PairAnswers, ...]


def answers_on(
    family: Family,
    source: DataSource,
    *,
    engine: str = "auto",
    pictures: int,
    strict: bool = False,
    progress: Progress = silent,
) -> FamilyAnswers:
    """Run the bundles of a family on the test split of a data source.

    Args:
        family: the bundles.
        source: labelled images whose classes are classes of the bundles.
        engine: `auto`, `onnxruntime` or `openvino`.
        pictures: number of images that flip to show, in each pair.
        strict: turn warnings into errors.
        progress: called after each chunk of images.

    Warns:
        OverlapWarning: a bundle was calibrated with some of the images.
        SourceWarning: the images cover some of the classes only.

    Raises:
        SourceError: the images have other classes, or cannot be decoded.
        EngineError: an engine failed.
        EdgecnnError: a logit is not finite.
    """
    first = family.first.bundle
    labels, preprocessing, scores = first.manifest.labels, first.manifest.preprocessing, first.manifest.scores
    images = match_classes(source.split("test"), source.labels, labels, str(first.path), multi_label=scores.multi_label)
    with contextlib.ExitStack() as stack:
        sessions = {}
        for subject in family.subjects:
            check_unseen(subject.bundle, images, strict=strict)
            session = open_session(subject.bundle, engine=engine, strict=strict)
            sessions[subject.name] = stack.enter_context(contextlib.closing(session))
        run = evaluate(sessions, images, preprocessing, classes=len(labels), progress=progress)
    for subject in family.subjects:
        if not np.isfinite(run.logits[subject.name]).all():
            raise EdgecnnError(f"{subject.bundle.path} returns logits that are not finite: train or quantize it again")
    assert run.targets is not None  # a labelled source has targets
    found = tuple(
        BundleAnswers(each, sessions[each.name].info, _metrics(run.logits[each.name], run.targets, labels, scores))
        for each in family.subjects
    )
    pairs = []
    for other in family.compared:
        agreement = agree(
            run.logits[family.first.name],
            run.logits[other.name],
            targets=run.targets,
            labels=labels,
            name_of=run.images.name_of,
            scores=scores,
        ).limited(pictures)
        shown = tuple(_shown(agreement.flips, run.images, family))
        pairs.append(PairAnswers(other, agreement, shown))
    return FamilyAnswers(run.data, found, tuple(pairs))


def _metrics(logits: np.ndarray, targets: np.ndarray, labels: tuple[str, ...], scores: Scores) -> Metrics:
    return (measure_labels if scores.multi_label else measure)(logits, targets, labels, scores)


def _shown(flips: Iterable[Flip], images: EvaluationImages, family: Family) -> Iterable[ShownFlip]:
    preprocessing = family.first.bundle.manifest.preprocessing
    for flip in flips:
        (pixels,) = images.pixels([flip.index], preprocessing)
        yield ShownFlip(flip, thumbnail(pixels))
