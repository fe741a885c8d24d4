"""`edgecnn export`: a checkpoint in, a proven FP32 bundle out."""

from pathlib import Path

import click

from edgecnn.cli.options import command_line, force_option, json_option, out_option
from edgecnn.cli.output import emit, progress_bar


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@out_option("The bundle to write; the folder's name is the bundle's name.")
@click.option("--data", metavar="SOURCE", help="Images to prove it on. [default: what it was trained on]")
@force_option
@json_option
def export(checkpoint: Path, out: Path, data: str | None, force: bool, as_json: bool) -> None:
    """Export CHECKPOINT to an FP32 bundle.

    The graph is run against the PyTorch original on every installed engine, at batch 1, 3 and 8, before the bundle
    appears: a logit that is off by more than 1e-4 of their spread, or one other answer, and there is none (exit 3).
    """
    from edgecnn.cli.summary import bundle_summary, bundle_text
    from edgecnn.pipeline.export.exporting import export as run
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    with progress_bar() as progress:
        original = read_checkpoint(checkpoint)
        bundle = run(original, out, data=data, command=command_line(), force=force, progress=progress)
    emit(bundle_summary(bundle), bundle_text(bundle), as_json=as_json)
