"""Compares a bundle's answers with its reference's on a set of images."""

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.proof import Comparison
from edgecnn.bundle.store import Bundle
from edgecnn.errors import SaturationWarning, UsageError
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session, SessionInfo, SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.agreement import Agreement, agree
from edgecnn.runtime.verification.batch_mates import BatchMates, check_batch_mates, choose_images, thread_counts
from edgecnn.runtime.verification.evaluation import EvaluationImages, evaluate
from edgecnn.runtime.verification.recorded import RecordedLogits, read_recorded
from edgecnn.runtime.verification.replay import compare


@dataclass(frozen=True)
class ReferenceSession:
    """A reference that can run, such as a checkpoint in PyTorch. The caller closes its session.

    `identity` is the reference's digest in a bundle's manifest; `digest` is the digest of the weights.
    """

    name: str
    identity: str
    digest: str
    session: Session


@dataclass(frozen=True)
class Compared:
    """The result of comparing a bundle's answers with its reference's.

    `images` are those that can be decoded. `reference` is the digest of the reference's weights. `logits` are the
    bundle's, float32 [N, K].
    """

    images: EvaluationImages
    reference: str
    logits: np.ndarray
    comparison: Comparison
    agreement: Agreement


def compare_with_reference(
    bundle: Bundle,
    session: Session,
    images: EvaluationImages,
    reference: Path | ReferenceSession,
    *,
    progress: Progress = silent,
) -> Compared:
    """Run images, at least one, through a session of the bundle, and compare the logits with the reference's.

    The reference is a session, or a file that `RecordedLogits.write` wrote.

    Raises:
        UsageError: the reference is another bundle's, or its logits were recorded on other images.
        EdgecnnError: the file cannot be read.
        SourceError: an image cannot be decoded.
        EngineError: an engine failed.
    """
    sessions = {"bundle": session}
    recorded = None
    if isinstance(reference, ReferenceSession):
        name, identity, digest = reference.name, reference.identity, reference.digest
        sessions["reference"] = reference.session
    else:
        recorded = read_recorded(reference)
        name, identity, digest = str(reference), recorded.reference, recorded.checkpoint
    if identity != bundle.manifest.reference.digest:
        raise UsageError(f"{name} is not the reference of {bundle.path}: name the bundle's own reference")
    # If images are skipped, only `evaluate` finds out. The numbers differ then, and the check follows.
    if recorded is not None and len(recorded.logits) == len(images):
        _check_images(recorded, images.reference(), name)
    labels, scores = bundle.manifest.labels, bundle.manifest.scores
    found = evaluate(sessions, images, bundle.manifest.preprocessing, classes=len(labels), progress=progress)
    if recorded is not None:
        _check_images(recorded, found.data, name)
    expected, logits = found.logits["reference"] if recorded is None else recorded.logits, found.logits["bundle"]
    return Compared(
        images=found.images,
        reference=digest,
        logits=logits,
        comparison=compare(expected, logits, found.targets, scores),
        agreement=agree(
            expected, logits, targets=found.targets, labels=labels, name_of=found.images.name_of, scores=scores
        ),
    )


def _check_images(recorded: RecordedLogits, data: DataReference, name: str) -> None:
    """Check that logits were recorded on these images.

    Raises:
        UsageError: they were not.
    """
    if recorded.images_digest != data.digest:
        raise UsageError(
            f"{name} was recorded on other images than the {data.split} split of {data.source}: record it again"
        )


def compare_batch_mates(
    bundle: Bundle,
    images: EvaluationImages,
    logits: np.ndarray,
    info: SessionInfo,
    options: SessionOptions,
    *,
    progress: Progress = silent,
) -> BatchMates:
    """Run some of N images again on the same engine and device, in other batches and with other numbers of threads.

    `logits`, float32 [N, K], are the answers of a session that was opened with `options`; `info` describes it.

    Raises:
        EngineError: the engine failed, for example because the graph's batch size is fixed.
    """

    def open_with(threads: int) -> Session:
        again = dataclasses.replace(options, device=info.device, threads=threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturationWarning)  # the first session already issued it
            return open_session(bundle, engine=info.engine, options=again)

    chosen = choose_images(len(images))
    return check_batch_mates(
        images.pixels(chosen, bundle.manifest.preprocessing),
        logits[chosen],
        open_with=open_with,
        threads=thread_counts(info),
        tolerance=bundle.self_test().tolerance,
        scores=bundle.manifest.scores,
        progress=progress,
    )
