"""`edgecnn tune`: which engine, bundle and setting is the fastest here, among those that answer well enough."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import PATH, json_option
from edgecnn.cli.output import columns, emit, progress_bar, warn

if TYPE_CHECKING:
    from edgecnn.tuning.contest import Trial
    from edgecnn.tuning.verdict import Tuned


@click.command()
@click.argument("bundles", metavar="FOLDER|BUNDLE...", nargs=-1, required=True, type=PATH)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["latency", "throughput"]),
    default="latency",
    show_default=True,
    help="The time of one image, or the images of a second.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=0.1,
    show_default=True,
    help="Points of top-1 that a bundle may have lost, by its own proof.",
)
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds that it may take, about.",
)
@json_option
def tune(bundles: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure the bundles of one reference on every engine of this machine, and keep the best as its profile.

    A FOLDER is one that holds bundles side by side. The profile decides from then on what `--backend auto` runs on, how
    many threads it takes, and which bundle a folder stands for. It holds for this processor, these cores and these
    versions of the engines; after a change it is not used any more.
    """
    from edgecnn.pipeline.measured import reference_modules
    from edgecnn.runtime.choosing import open_bundles
    from edgecnn.tuning.tune import tune as run

    with progress_bar() as progress:
        found = run(open_bundles(bundles), modules=reference_modules(), progress=progress, **options)
    emit(found, _text(found), as_json=as_json)
    for each in found.warnings:
        warn(each)
    click.echo(f"kept in {found.keep()}", err=True)


def _text(found: "Tuned") -> str:
    header = ("bundle", "setting", "p50 ms", "images/s", "runs", "")
    rows = [_row(trial, found) for trial in sorted(found.trials, key=_order)]
    return "\n".join([columns([header, *rows], right=(2, 3, 4)), "", found.profile.verdict])


def _row(trial: "Trial", found: "Tuned") -> tuple[str, ...]:
    choice = found.profile.choice
    is_choice = (trial.digest, trial.setting) == (choice.bundle, choice.setting)
    end = "chosen" if is_choice else trial.out or "slower"
    if trial.speed is None:
        return trial.bundle, str(trial.setting), "", "", "", end
    speed = trial.speed
    return (
        trial.bundle,
        str(trial.setting),
        f"{speed.p50_ms.value:.3g} [{speed.p50_ms.low:.3g}, {speed.p50_ms.high:.3g}]",
        f"{speed.images_per_s.value:.4g}",
        str(speed.runs),
        end,
    )


def _order(trial: "Trial") -> tuple[bool, float]:
    return trial.speed is None, trial.speed.p50_ms.value / trial.setting.batch if trial.speed else 0.0
