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
    session_arguments,
    session_options,
    strict_option,
)
from edgecnn.cli.output import columns, emit, percent, progress_bar, rate
from edgecnn.cli.subjects import check_checkpoint
from edgecnn.cli.weights import architecture_option, take_weights_options, weights_options

if TYPE_CHECKING:
    from edgecnn.pipeline.evaluation.evaluating import Evaluated

_MOST_CLASSES = 20


@click.command()
@click.argument("subject", metavar="CHECKPOINT|BUNDLE|FILE", type=PATH)
@labelled_data_option("Name of a data source, or an image folder.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@file_option("--plot", "FILE.png", help="Write a plot of the confusion matrix and the calibration.")
@file_option(
    "--save-logits",
    "FILE.npz",
    help="Write a checkpoint's logits for `verify --reference` on devices without PyTorch.",
)
@architecture_option("The architecture of a weights FILE.")
@weights_options("--key", "--weights-key", prefix="With --arch")
@session_options
@strict_option
@json_option
def evaluate(subject: Path, source: str, as_json: bool, **options: Any) -> None:
    """Measure accuracy, confusion and calibration of a CHECKPOINT in PyTorch, or of a BUNDLE on an engine.

    A weights FILE (.pth, .safetensors) runs in PyTorch too. It needs --arch.

    Top-1, top-5 and the accuracy of each class have 95 % intervals (Wilson). The expected calibration error has 15
    bins.
    """
    weights = take_weights_options(options)
    if options["architecture"] is None and not (is_bundle(subject) or subject.is_file()):
        check_checkpoint(str(subject), otherwise=f"pass its weights and --arch {subject}")
    from edgecnn.pipeline.evaluation.evaluating import evaluate as run

    with progress_bar() as progress:
        found = run(subject, source, weights=weights, progress=progress, **session_arguments(**options))
    emit(found, _text(found), as_json=as_json)


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
    seen = {label: own for label, own in metrics.per_class.items() if own.value is not None}
    worst = sorted(seen.items(), key=lambda item: item[1].value or 0.0)
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
