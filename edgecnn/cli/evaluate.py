"""`edgecnn evaluate`: measure the accuracy of a checkpoint or a bundle on labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.bundle.finding import is_bundle
from edgecnn.cli.options import (
    PATH,
    file_option,
    json_option,
    labelled_data_option,
    plot_option,
    session_arguments,
    session_options,
    strict_option,
)
from edgecnn.cli.output import columns, emit, progress_bar
from edgecnn.cli.subjects import check_checkpoint
from edgecnn.cli.weights import architecture_option, take_weights_options, weights_options
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.pipeline.evaluation.evaluating import Evaluated
    from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics
    from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics

_MOST_CLASSES = 20


@click.command()
@click.argument("subject", metavar="CHECKPOINT|BUNDLE|FILE", type=PATH)
@labelled_data_option("Name of a data source, an image folder, or a CSV file of images with several labels.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@plot_option("Write a plot of the confusion matrix, or of each label, and the calibration.")
@file_option(
    "--save-logits",
    "FILE.npz",
    help="Write a checkpoint's logits for `verify --reference` on devices without PyTorch.",
)
@architecture_option("The architecture of a weights FILE, or the factory of a CHECKPOINT.")
@weights_options("--key", "--weights-key", prefix="With --arch")
@session_options
@strict_option
@json_option
def evaluate(subject: Path, source: str, as_json: bool, **options: Any) -> None:
    """Measure accuracy, confusion and calibration of a CHECKPOINT in PyTorch, or of a BUNDLE on an engine.

    A weights FILE (.pth, .safetensors) runs in PyTorch too. It needs --arch.

    Top-1, top-5 and the accuracy of each class have 95 % intervals (Wilson). The expected calibration error has 15
    bins. With several labels per image, an image is an exact match if all of its labels are right, and each label has
    its accuracy, precision, recall and F1. For a cascade, the share of images that its accurate graph also runs is
    shown.
    """
    described = take_weights_options(options)
    if options["architecture"] is None and not (is_bundle(subject) or subject.is_file()):
        check_checkpoint(str(subject), otherwise=f"pass its weights and --arch {subject}")
    from edgecnn.pipeline.evaluation.evaluating import evaluate as run
    from edgecnn.stages.describing import weights_options as weights_from

    with progress_bar() as progress:
        found = run(subject, source, weights=weights_from(described), progress=progress, **session_arguments(**options))
    emit(found, _text(found), as_json=as_json)


def _text(found: "Evaluated") -> str:
    from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics

    metrics, session = found.metrics, found.session
    subject = (
        f"{found.subject} on {found.data.source} {found.data.split}, {found.data.images} images; "
        f"{session.engine} {session.version}, {session.device}, {session.precision}"
    )
    again = [] if found.run_again is None else [f"  run again by the accurate graph: {found.run_again} of the images"]
    lines = again + (_of_labels(metrics) if isinstance(metrics, MultiLabelMetrics) else _of_classes(metrics))
    return "\n".join([subject, *lines])


def _of_classes(metrics: "ClassificationMetrics") -> list[str]:
    lines = [f"  top-1 {metrics.top1}"]
    if metrics.top5 is not None:
        lines.append(f"  top-5 {metrics.top5}")
    lines.append(f"  loss {metrics.loss:.4f}, expected calibration error {percent(metrics.calibration_error)}")
    seen = {label: own for label, own in metrics.per_class.items() if own.value is not None}
    worst = sorted(seen.items(), key=lambda item: item[1].value or 0.0)
    labels = list(metrics.per_class)
    rows = []
    for label, own in worst[:_MOST_CLASSES]:
        row = metrics.confusion[labels.index(label)]
        wrong = max((count, other) for other, count in enumerate(row) if other != labels.index(label))
        taken = f"{wrong[0]} taken for {labels[wrong[1]]}" if wrong[0] else ""
        rows.append((f"  {label}", str(own), taken))
    if len(worst) > _MOST_CLASSES:
        lines.append(f"  the {_MOST_CLASSES} worst of {len(worst)} classes:")
    return [*lines, columns(rows)]


def _of_labels(metrics: "MultiLabelMetrics") -> list[str]:
    lines = [
        f"  exact match {metrics.exact_match}, macro F1 {percent(metrics.macro_f1)}",
        f"  loss {metrics.loss:.4f}, expected calibration error {percent(metrics.calibration_error)}",
    ]
    worst = sorted(metrics.per_label.items(), key=lambda item: item[1].f1 if item[1].f1 is not None else 2.0)
    rows = [
        (
            f"  {label}",
            str(own.images),
            *(percent(value) for value in (own.accuracy.value, own.precision.value, own.recall.value, own.f1)),
        )
        for label, own in worst[:_MOST_CLASSES]
    ]
    if len(worst) > _MOST_CLASSES:
        lines.append(f"  the {_MOST_CLASSES} worst of {len(worst)} labels:")
    header = ("  label", "images", "accuracy", "precision", "recall", "F1")
    return [*lines, columns([header, *rows], right=range(1, 6))]
