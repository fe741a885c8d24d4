"""`edgecnn cascade`: combine a fast and an accurate bundle."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.bundle_text import bundle_summary, bundle_text
from edgecnn.cli.completion import complete_source
from edgecnn.cli.options import (
    PATH,
    command_line,
    dataclass_options,
    force_option,
    json_option,
    out_option,
    strict_option,
)
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.cli.subjects import possible_bundle
from edgecnn.pipeline.cascades.options import CascadeOptions


@click.command()
@click.argument("fast", type=PATH, callback=possible_bundle)
@click.argument("accurate", type=PATH, callback=possible_bundle)
@click.option(
    "--data",
    required=True,
    metavar="SOURCE",
    shell_complete=complete_source,
    help="Training images for threshold and bound, and test images for the proof.",
)
@out_option("The bundle to write. The folder's name becomes the bundle's name.")
@click.option(
    "--reference",
    type=PATH,
    metavar="BUNDLE",
    callback=lambda context, option, path: None if path is None else possible_bundle(context, option, path),
    help="The FP32 bundle of ACCURATE's reference. Required if ACCURATE is not FP32.",
)
@dataclass_options(CascadeOptions)
@force_option
@strict_option
@json_option
def cascade(fast: Path, accurate: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Combine two bundles: FAST runs every image, and ACCURATE those whose margin under FAST is below a threshold.

    FAST and ACCURATE have the same labels, scores and preprocessing, and may be of one network or of two. The threshold
    is the smallest one with which the answers agree with ACCURATE's reference on --min-agreement of the images. It is
    chosen on half of the unseen training images. The one-sided 95 % Clopper-Pearson bound of the agreement is measured
    on the other half. Unseen images are the ones that `train --reserve` left out, or all if --unseen states it. If the
    bound does not hold, or one bundle alone is enough, no bundle is written, and the exit code is 3.
    """
    from edgecnn.stages.cascading import cascade as run

    with progress_bar() as progress:
        made = run(fast, accurate, out, command=command_line(), progress=progress, **options)
    emit(bundle_summary(made.bundle), bundle_text(made.bundle), as_json=as_json)
    for warning in made.warnings:
        warn(warning)
