"""`edgecnn train`: images in, a checkpoint folder out."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.options import dataclass_options, force_option, json_option, out_option
from edgecnn.cli.output import emit, percent, progress_bar
from edgecnn.errors import UsageError
from edgecnn.pipeline.training.recipes import TrainingOptions


@click.command()
@click.argument("architecture", metavar="ARCH")
@click.option(
    "--data",
    "source",
    required=True,
    metavar="SOURCE",
    help="digits, fashion-mnist, mnist, cifar10, or an image folder.",
)
@out_option("The checkpoint folder to write.")
@dataclass_options(TrainingOptions)
@force_option
@json_option
def train(architecture: str, source: str, out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Train ARCH on labelled images and write a checkpoint folder.

    Top-1 is measured on the source's test split, once, after the last epoch.
    """
    try:
        chosen = TrainingOptions(**options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.training.loop import train as run

    with progress_bar() as progress:
        images = open_source(source)
        trained = run(architecture, images, out, source_name=source, options=chosen, force=force, progress=progress)
    text = f"{out}: top-1 {percent(trained.test_top1)} on {trained.test_images} test images"
    emit({"checkpoint": str(out), **vars(trained)}, text, as_json=as_json)
