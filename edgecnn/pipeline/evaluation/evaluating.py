"""Run a checkpoint or a bundle on a split and compute its metrics."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.finding import check_outside_bundles, is_bundle
from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files.file import write_file
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics, measure
from edgecnn.pipeline.quantization.calibration_config import check_unseen
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session, SessionInfo, SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.evaluation import evaluate as run_images
from edgecnn.runtime.verification.recorded import RecordedLogits


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation. `subject` is the checkpoint or bundle as the user named it."""

    subject: str
    data: DataReference
    session: SessionInfo
    metrics: ClassificationMetrics


def evaluate(
    subject: Path,
    data: str,
    *,
    split: str = "test",
    engine: str = "auto",
    options: SessionOptions | None = None,
    plot: Path | None = None,
    save_logits: Path | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Evaluated:
    """Evaluate a checkpoint in PyTorch, or a bundle on an engine, on a split of a data source.

    PyTorch is imported for a checkpoint only.

    Args:
        subject: a checkpoint folder or a bundle.
        data: a data source's name or an image folder. It must have the subject's classes.
        split: `test` or `train`.
        engine: engine of a bundle: `auto`, `onnxruntime` or `openvino`.
        options: session options. A checkpoint accepts `threads` only.
        plot: PNG file to write with the confusion matrix and the calibration.
        save_logits: `.npz` file to write with a checkpoint's logits, float32 [N, K]; see `RecordedLogits`.
        strict: turn warnings into errors.
        progress: called after each chunk of images.

    Warns:
        OverlapWarning: the bundle was calibrated with some of the images.

    Raises:
        UsageError: the data has other classes, the options are not valid for a checkpoint, `save_logits` is given for a
            bundle, or an output file is inside a bundle.
        SourceError: the data is unknown, or images are missing or damaged.
        CheckpointError, BundleError: the subject cannot be read.
        EngineError: the engine failed; see also `open_session`.
        EdgecnnError: a logit is not finite, or a file cannot be written.
    """
    options = options or SessionOptions()
    bundled = is_bundle(subject)
    if bundled and save_logits is not None:
        raise UsageError("--save-logits writes the PyTorch reference's logits: pass a checkpoint, not a bundle")
    for place in (plot, save_logits):
        if place is not None:
            check_outside_bundles(place)
    if plot is not None:  # import early, to report a missing Matplotlib before the evaluation
        from edgecnn.pipeline.evaluation.plot import draw
    source = open_source(data)
    images = source.split(split)
    opened = _bundle(subject, images, engine, options, strict) if bundled else _checkpoint(subject, engine, options)
    with opened as model:
        _check_classes(source, subject, model.labels)
        run = run_images(
            {"it": model.session}, images, model.preprocessing, classes=len(model.labels), progress=progress
        )
    logits = run.logits["it"]
    if not np.isfinite(logits).all():
        raise EdgecnnError(f"{subject} returns logits that are not finite: train or quantize it again")
    metrics = measure(logits, images.known_targets(), model.labels)
    found = Evaluated(str(subject), run.data, model.session.info, metrics)
    if save_logits is not None:
        RecordedLogits(model.identity, model.digest, run.data.digest, logits).write(save_logits)
    if plot is not None:
        shown = "unknown" if metrics.top1.value is None else f"{metrics.top1.value:.2%}"
        write_file(plot, draw(metrics, f"{subject.name} on {run.data.source} {run.data.split}: top-1 {shown}"))
    return found


@dataclass(frozen=True)
class _Model:
    """The model to evaluate. Only a checkpoint has `identity` and `digest`, for `RecordedLogits`."""

    session: Session
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    identity: str = ""
    digest: str = ""


@contextlib.contextmanager
def _checkpoint(path: Path, engine: str, options: SessionOptions) -> Iterator[_Model]:
    from edgecnn.pipeline.torch_session import TorchSession
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    if (engine, options) != ("auto", SessionOptions(threads=options.threads)):
        raise UsageError("a checkpoint runs in PyTorch, in FP32 on the CPU: --engine and --device are for bundles")
    found = read_checkpoint(path).reference
    with contextlib.closing(TorchSession(found, threads=options.threads)) as session:
        yield _Model(session, found.labels, found.preprocessing, found.identity, found.digest)


@contextlib.contextmanager
def _bundle(path: Path, images: Split, engine: str, options: SessionOptions, strict: bool) -> Iterator[_Model]:
    bundle = open_bundle(path)
    check_unseen(bundle, images, strict=strict)
    with contextlib.closing(open_session(bundle, engine=engine, options=options, strict=strict)) as session:
        yield _Model(session, bundle.manifest.labels, bundle.manifest.preprocessing)


def _check_classes(source: DataSource, subject: Path, labels: tuple[str, ...]) -> None:
    if source.labels != labels:
        raise UsageError(
            f"{source.name} has the classes {_few(source.labels)}, {subject} has {_few(labels)}: "
            f"pass the data that it was trained on"
        )


def _few(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")
