"""Run a checkpoint or a bundle on a split and compute its metrics."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecnn.bundle.finding import check_outside_bundles, is_bundle
from edgecnn.bundle.manifest import DataReference, Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files.file import check_writable, write_file
from edgecnn.files.schema import ADDED
from edgecnn.pipeline.data.matching import match_classes
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics, measure_labels
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics, measure
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.plot_files import check_plot
from edgecnn.pipeline.quantization.calibration_config import check_unseen
from edgecnn.progress import Progress, silent
from edgecnn.runtime.cascade import counts_of
from edgecnn.runtime.engines.engine import Session, SessionInfo, SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.verification.evaluation import evaluate as run_images
from edgecnn.runtime.verification.recorded import RecordedLogits


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation.

    Attributes:
        subject: the checkpoint or bundle as the user named it.
        data: the images.
        session: what ran them.
        metrics: accuracy, confusion and calibration.
        run_again: share of the images that the accurate graph of a cascade ran too; None without a cascade.
    """

    subject: str
    data: DataReference
    session: SessionInfo
    metrics: ClassificationMetrics | MultiLabelMetrics
    run_again: Rate | None = field(default=None, metadata=ADDED)


def evaluate(
    subject: Path,
    data: str,
    *,
    split: str = "test",
    engine: str = "auto",
    options: SessionOptions | None = None,
    plot: Path | None = None,
    save_logits: Path | None = None,
    architecture: str | None = None,
    weights: WeightsOptions | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Evaluated:
    """Evaluate a checkpoint or weights in PyTorch, or a bundle on an engine, on a split of a data source.

    PyTorch is not imported for a bundle.

    Args:
        subject: a checkpoint folder, a bundle, or a weights file.
        data: a data source's name or an image folder, whose classes must be among the subject's; for a subject with
            several labels a CSV file, see `data.table.LabelTable`.
        split: `test` or `train`.
        engine: engine of a bundle: `auto`, `onnxruntime` or `openvino`.
        options: session options. A checkpoint accepts `threads` only.
        plot: PNG, SVG or PDF file to write with the confusion matrix, or precision and recall of each label, and the
            calibration.
        save_logits: `.npz` file to write with a checkpoint's logits, float32 [N, K]; see `RecordedLogits`.
        architecture: the architecture of a weights file; for a checkpoint, the factory that built it.
        weights: properties that a weights file does not contain.
        strict: turn warnings into errors.
        progress: called after each chunk of images.

    Warns:
        OverlapWarning: the bundle was calibrated with some of the images.
        SourceWarning: the images cover some of the classes only, or files are left out.
        WeightsNote: weights were unwrapped, or properties of them assumed; see `importing.weights.from_file`.

    Raises:
        UsageError: the architecture of a weights file is missing, the options are not valid for a checkpoint,
            `save_logits` is given for a bundle, or an output file is inside a bundle.
        SourceError: the data is unknown or has other classes, or images are missing or damaged.
        CheckpointError, BundleError: the subject cannot be read.
        EngineError: the engine failed; see also `open_session`.
        EdgecnnError: a logit is not finite, or a file cannot be written.
    """
    options = options or SessionOptions()
    bundled = is_bundle(subject)
    if bundled and architecture is not None:
        raise UsageError(f"--arch names the architecture of a weights file, {subject} is a bundle: remove it")
    if architecture is None and weights is not None:
        raise UsageError(f"{weights.given} can only be used with a weights file: add its architecture with --arch")
    if architecture is None and subject.is_file():
        raise UsageError(
            f"{subject} is a file: name the architecture of its weights with --arch, as in --arch resnet18"
        )
    if bundled and save_logits is not None:
        raise UsageError("--save-logits writes the PyTorch reference's logits: pass a checkpoint, not a bundle")
    if save_logits is not None:
        check_outside_bundles(save_logits)
        check_writable(save_logits)
    if plot is not None:
        check_plot(plot)  # import Matplotlib early, to report that it is missing before the evaluation
        from edgecnn.pipeline.evaluation.plot import draw
    source = open_source(data, strict=strict)
    images = source.split(split)
    opened = (
        _bundle(subject, images, engine, options, strict)
        if bundled
        else _network(subject, engine, options, architecture, weights)
    )
    with opened as model:
        multi_label = model.scores.multi_label
        images = match_classes(images, source.labels, model.labels, str(subject), multi_label=multi_label)
        run = run_images(
            {"it": model.session}, images, model.preprocessing, classes=len(model.labels), progress=progress
        )
    logits = run.logits["it"]
    if not np.isfinite(logits).all():
        raise EdgecnnError(f"{subject} returns logits that are not finite: train or quantize it again")
    assert run.targets is not None  # a folder has classes
    metrics = (measure_labels if multi_label else measure)(logits, run.targets, model.labels, model.scores)
    counts = counts_of(model.session)
    again = None if counts is None else rate(counts.again, counts.images)
    found = Evaluated(str(subject), run.data, model.session.info, metrics, again)
    if save_logits is not None:
        RecordedLogits(model.identity, model.digest, run.data.digest, logits).write(save_logits)
    if plot is not None:
        write_file(plot, draw(metrics, f"{subject.name} on {run.data.source} {run.data.split}", plot.suffix))
    return found


@dataclass(frozen=True)
class _Model:
    """The model to evaluate. Only a checkpoint has `identity` and `digest`, for `RecordedLogits`."""

    session: Session
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    scores: Scores
    identity: str = ""
    digest: str = ""


@contextlib.contextmanager
def _network(
    path: Path, engine: str, options: SessionOptions, architecture: str | None, weights: WeightsOptions | None
) -> Iterator[_Model]:
    """Open a checkpoint or, with an architecture, a weights file."""
    from edgecnn.pipeline.export.exporting import open_reference
    from edgecnn.pipeline.reference import identity_of

    if (engine, options) != ("auto", SessionOptions(threads=options.threads)):
        raise UsageError("a checkpoint runs in PyTorch, in FP32 on the CPU: --engine and --device are for bundles")
    if architecture is None:
        found = open_reference(str(path))
    else:
        found = open_reference(architecture, weights=str(path), options=weights)
    with contextlib.closing(found.open(threads=options.threads)) as session:
        yield _Model(session, found.labels, found.preprocessing, found.scores, identity_of(found), found.digest)


@contextlib.contextmanager
def _bundle(path: Path, images: Split, engine: str, options: SessionOptions, strict: bool) -> Iterator[_Model]:
    bundle = open_bundle(path)
    check_unseen(bundle, images, strict=strict)
    with contextlib.closing(open_session(bundle, engine=engine, options=options, strict=strict)) as session:
        yield _Model(session, bundle.manifest.labels, bundle.manifest.preprocessing, bundle.manifest.scores)
