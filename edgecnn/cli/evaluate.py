"""`edgecnn evaluate`: how good a checkpoint or a bundle is on labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option, session_options, strict_option
from edgecnn.cli.output import columns, emit, percent, progress_bar, rate, warn
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.preprocessing import Preprocessing
    from edgecnn.bundle.store import Bundle
    from edgecnn.pipeline.data.source import Split
    from edgecnn.pipeline.evaluation.evaluating import Evaluated
    from edgecnn.pipeline.reference import Reference
    from edgecnn.runtime.engines.backend import Session

    Runnable = tuple[Session, tuple[str, ...], Preprocessing]

_MOST_CLASSES = 20


@click.command()
@click.argument("subject", metavar="CHECKPOINT|BUNDLE", type=click.Path(path_type=Path))
@click.option("--data", "source", required=True, metavar="SOURCE", help="A data source's name, or an image folder.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw confusion and calibration.")
@click.option(
    "--save-logits",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Write a checkpoint's logits, for `verify --reference` on devices without PyTorch.",
)
@session_options
@strict_option
@json_option
def evaluate(
    subject: Path,
    source: str,
    split: str,
    plot: Path | None,
    save_logits: Path | None,
    strict: bool,
    as_json: bool,
    **session: Any,
) -> None:
    """Measure a CHECKPOINT in PyTorch, or a BUNDLE on an engine: accuracy, confusion, calibration.

    Top-1, top-5 and every class with a 95 % interval (Wilson); the expected calibration error over 15 bins.
    """
    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(f"--plot {plot}: expected a name that ends in .png")
    if save_logits is not None and save_logits.suffix.lower() != ".npz":
        raise UsageError(f"--save-logits {save_logits}: expected a name that ends in .npz")
    is_bundle = (subject / "manifest.json").is_file()
    if is_bundle and save_logits is not None:
        raise UsageError("--save-logits writes the PyTorch reference's logits: name the checkpoint, not a bundle")
    from edgecnn.bundle.finding import check_outside_bundles
    from edgecnn.files.file import write_file
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.evaluation.evaluating import evaluate_session

    if plot is not None:
        check_outside_bundles(plot)
        from edgecnn.pipeline.evaluation.plot import draw
    if save_logits is not None:
        check_outside_bundles(save_logits)
    images = open_source(source)
    bundle = _open_bundle(subject, images.split(split), strict=strict) if is_bundle else None
    reference = None
    if bundle is not None:
        running, labels, preprocessing = _run_bundle(bundle, session, strict=strict)
    else:
        reference = _open_reference(subject, session)
        running, labels, preprocessing = _run_reference(reference, session)
    try:
        with progress_bar() as progress:
            found, logits = evaluate_session(
                running,
                images,
                subject=str(subject),
                labels=labels,
                preprocessing=preprocessing,
                split=split,
                progress=progress,
            )
    finally:
        running.close()
    if save_logits is not None and reference is not None:
        from edgecnn.runtime.verification.recorded import RecordedLogits

        RecordedLogits(reference.identity, reference.digest, found.data.digest, logits).write(save_logits)
    if plot is not None:
        top1 = found.metrics.top1
        title = f"{subject.name} on {found.data.source} {found.data.split}: top-1 {percent(top1.value)}"
        write_file(plot, draw(found.metrics, title))
    emit(found, _text(found), as_json=as_json)


def _open_reference(checkpoint: Path, session: dict[str, Any]) -> "Reference":
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    if session["backend"] != "auto" or session["device"] != "cpu" or session["precision"] != "fp32":
        raise UsageError("a checkpoint runs in PyTorch, in FP32 on the CPU: --backend and --device are for bundles")
    return read_checkpoint(checkpoint).reference


def _run_reference(reference: "Reference", session: dict[str, Any]) -> "Runnable":
    from edgecnn.pipeline.torch_session import TorchSession

    return TorchSession(reference, threads=session["threads"]), reference.labels, reference.preprocessing


def _open_bundle(path: Path, split: "Split", *, strict: bool) -> "Bundle":
    """Open a bundle, and say so where it was calibrated with images that it is judged on."""
    from edgecnn.bundle.store import open_bundle
    from edgecnn.pipeline.quantization.recipe import overlap_warning

    bundle = open_bundle(path)
    warning = overlap_warning(bundle, split)
    if warning:
        warn(warning, strict=strict)
    return bundle


def _run_bundle(bundle: "Bundle", session: dict[str, Any], *, strict: bool) -> "Runnable":
    from edgecnn.runtime.engines.backend import SessionOptions
    from edgecnn.runtime.opening import open_session

    backend = session.pop("backend")
    running = open_session(bundle, backend=backend, options=SessionOptions(**session), strict=strict)
    return running, bundle.manifest.labels, bundle.manifest.preprocessing


def _text(found: "Evaluated") -> str:
    metrics, session = found.metrics, found.session
    lines = [
        f"{found.subject} on {found.data.source} {found.data.split}, {found.data.images} images; "
        f"{session.engine} {session.version}, {session.device}, {session.precision}",
        f"  top-1 {rate(metrics.top1)}",
    ]
    if metrics.top5 is not None:
        lines.append(f"  top-5 {rate(metrics.top5)}")
    lines.append(f"  loss {metrics.loss:.4f}, expected calibration error {percent(metrics.calibration_error)}")
    worst = sorted(metrics.per_class.items(), key=lambda item: 1.0 if item[1].value is None else item[1].value)
    labels = list(metrics.per_class)
    rows = []
    for label, own in worst[:_MOST_CLASSES]:
        row = metrics.confusion[labels.index(label)]
        wrong = max((count, other) for other, count in enumerate(row) if other != labels.index(label))
        taken = f"{wrong[0]} taken for {labels[wrong[1]]}" if wrong[0] else ""
        rows.append((f"  {label}", rate(own), taken))
    if len(worst) > _MOST_CLASSES:
        lines.append(f"  the {_MOST_CLASSES} worst of {len(worst)} classes:")
    return "\n".join([*lines, columns(rows)])
