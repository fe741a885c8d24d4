"""`edgecnn tune`: find the fastest engine, bundle and setting on this machine within a limit of the drop."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import PATH, json_option, measured_images_options, strict_option
from edgecnn.cli.output import columns, emit, progress_bar, warn

if TYPE_CHECKING:
    from edgecnn.tuning.conclusion import Tuned


@click.command()
@click.argument("bundles", metavar="FOLDER|BUNDLE...", nargs=-1, required=True, type=PATH)
@measured_images_options
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["latency", "throughput"]),
    default="latency",
    show_default=True,
    help="Minimize the time per image, or maximize images per second.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=0.1,
    show_default=True,
    help="Largest allowed drop in a bundle's proof, in percentage points.",
)
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Approximate time limit in seconds.",
)
@strict_option
@json_option
def tune(bundles: tuple[Path, ...], strict: bool, as_json: bool, **options: Any) -> None:
    """Measure the bundles of one reference on every engine of this machine, and save the best setting as a profile.

    A FOLDER contains several bundles. The profile selects the engine and threads of `--engine auto`, and the bundle of
    a folder. It is valid for this processor, these cores and these engine versions. After a change it is stale and is
    not used. If other work on this machine disturbs the measurement, a warning says so; with --strict no profile is
    saved then.

    The cost of a cascade depends on the images: without --data, a cascade in FOLDER is not measured. With --data it is
    compared by its mean time, and other bundles by their median time.
    """
    from edgecnn.stages.measuring import tune as run

    with progress_bar() as progress:
        found = run(bundles, progress=progress, **options)
    emit(found, _text(found), as_json=as_json)
    for each in found.warnings:
        warn(each, strict=strict)
    click.echo(f"saved in {found.keep()}", err=True)


def _text(found: "Tuned") -> str:
    table = columns(found.rows(), right=(2, 3, 4), optional=(4, 3))
    failed = [each for each in found.ordered if each.out not in (None, "slower")]
    reasons = [f"{each.bundle} on {each.setting}: {each.out}" for each in failed]
    return "\n".join([table, *reasons, "", found.profile.conclusion])
