"""`edgecnn export`: convert a checkpoint or foreign weights to an FP32 bundle."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.bundle_text import bundle_summary, bundle_text
from edgecnn.cli.checks import checks_options, unsure_option
from edgecnn.cli.completion import complete_architecture_or_path, complete_source
from edgecnn.cli.options import command_line, force_option, json_option, out_option, strict_option
from edgecnn.cli.output import emit, progress_bar
from edgecnn.cli.subjects import check_export, possible_export
from edgecnn.cli.weights import take_weights_options, weights_options


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
    "--weights",
    metavar="FILE|NAME",
    help="A state dict (.pth, .safetensors), the name of torchvision weights, or a checkpoint.",
)
@weights_options("--key", "--weights-key", prefix="With --weights")
@checks_options
@unsure_option
@force_option
@strict_option
@json_option
def export(
    checkpoint: str,
    out: Path,
    weights: str | None,
    as_json: bool,
    **described: Any,
) -> None:
    """Export CHECKPOINT, or ARCH with --weights, to an FP32 bundle.

    ARCH is one of edgecnn's architectures, torchvision:NAME, timm:NAME, or a function or class that returns a network
    in PyTorch: package.module:factory or file.py:factory. Without --weights, the weights that a factory returns are
    exported. Give --image-size and --labels, and the other options that your training used.

    Before the bundle is written, every installed engine runs the graph at batch 1, 3 and 8 and compares it with the
    PyTorch reference. If a logit differs by more than 1e-4 of the logits' spread, or a label differs, no bundle is
    written (exit code 3).

    A weights file does not say how images are prepared: a note names what is assumed. Resize and crop equal
    torchvision's, OpenCV's or Ultralytics' pixel for pixel. With --expect or --preprocess the preprocessing is compared
    with your own answers or code: if labels or pixels differ by more than decoders and rounding explain, no bundle is
    written (exit code 3). Otherwise a warning names another preprocessing whose top-1 on labelled --data is clearly
    higher.
    """
    options = take_weights_options(described)
    from edgecnn.stages.exporting import check_weights_given
    from edgecnn.stages.exporting import export as run

    check_weights_given(checkpoint, weights, options)
    check_export(checkpoint, out, weights=weights, force=described["force"])
    with progress_bar() as progress:
        bundle = run(
            checkpoint, out, weights=weights, command=command_line(), progress=progress, **described, **options
        )
    emit(bundle_summary(bundle), bundle_text(bundle), as_json=as_json)
