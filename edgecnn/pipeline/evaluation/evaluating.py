"""Run a checkpoint or a bundle over a split, and measure its answers."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.evaluation.metrics import Metrics, measure
from edgecnn.pipeline.proving import evaluate
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.backend import Session, SessionInfo


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation has found.

    Attributes:
        subject: the checkpoint or bundle, as the user named it.
        data: the images.
        session: what ran.
        metrics: how good it is.
    """

    subject: str
    data: DataReference
    session: SessionInfo
    metrics: Metrics


def evaluate_session(
    session: Session,
    source: DataSource,
    *,
    subject: str,
    labels: tuple[str, ...],
    preprocessing: Preprocessing,
    split: str = "test",
    progress: Progress = silent,
) -> tuple[Evaluated, np.ndarray]:
    """Measure a session on a split; returns the measurements and the logits, float32 [N, K].

    Raises:
        UsageError: the source has other classes.
        SourceError: images are missing or damaged.
        EdgecnnError: a logit is not finite.
    """
    if source.labels != labels:
        raise UsageError(
            f"{source.name} has the classes {_few(source.labels)}, {subject} has {_few(labels)}: "
            f"name the data that it was trained on"
        )
    images = source.split(split)
    found = evaluate({"it": session}, images, preprocessing, classes=len(labels), progress=progress)
    logits = found.logits["it"]
    if not np.isfinite(logits).all():
        raise EdgecnnError(f"{subject} answers with logits that are not finite: train or quantize it again")
    metrics = measure(logits, images.known_targets(), labels)
    return Evaluated(subject, found.data, session.info, metrics), logits


def _few(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")
