"""`edgecnn export`: convert a checkpoint or foreign weights to an FP32 bundle."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.bundle_text import bundle_summary, bundle_text
from edgecnn.cli.completion import complete_architecture_or_path, complete_source
from edgecnn.cli.options import command_line, force_option, json_option, out_option, strict_option
from edgecnn.cli.output import emit, progress_bar, warnings_as_errors
from edgecnn.cli.subjects import check_export, possible_export
from edgecnn.cli.weights import take_weights_options, weights_options
from edgecnn.errors import UsageError


@click.command()
@click.argument(
    "checkpoint", metavar="CHECKPOINT|ARCH", callback=possible_export, shell_complete=complete_architecture_or_path
)
@out_option("The bundle to write. The folder's name becomes the bundle's name.")
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_source,
    help="Images for the proof. [default: the training source, or photographs]",
)
@click.option(
    "--weights", metavar="FILE|NAME", help="A state dict (.pth, .safetensors), or the name of torchvision weights."
)
@weights_options("--key", "--weights-key", prefix="With --weights")
@force_option
@strict_option
@json_option
def export(
    checkpoint: str,
    out: Path,
    data: str | None,
    weights: str | None,
    force: bool,
    strict: bool,
    as_json: bool,
    **described: Any,
) -> None:
    """Export CHECKPOINT, or ARCH with --weights, to an FP32 bundle.

    Before the bundle is written, every installed engine runs the graph at batch 1, 3 and 8 and compares it with the
    PyTorch reference. If a logit differs by more than 1e-4 of the logits' spread, or a label differs, no bundle is
    written (exit code 3).

    A weights file does not say how images are prepared: a note names what is assumed. Resize and crop equal
    torchvision's, OpenCV's or Ultralytics' pixel for pixel.
    """
    options = take_weights_options(described)
    if weights is None and options is not None:
        raise UsageError(f"{options.given} require --weights, which is missing: add --weights FILE|NAME")
    check_export(checkpoint, out, weights=weights, force=force)
    from edgecnn.pipeline.export.exporting import export as run
    from edgecnn.pipeline.export.exporting import open_reference

    with warnings_as_errors(when=strict), progress_bar() as progress:
        reference = open_reference(checkpoint, weights=weights, options=options)
        bundle = run(reference, out, data=data, command=command_line(), force=force, progress=progress)
    emit(bundle_summary(bundle), bundle_text(bundle), as_json=as_json)
