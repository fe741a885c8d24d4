"""`edgecnn tune`: find the fastest engine, bundle and setting on this machine within a limit of the drop."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import PATH, json_option, strict_option
from edgecnn.cli.output import columns, emit, number, progress_bar, warn

if TYPE_CHECKING:
    from edgecnn.tuning.conclusion import Tuned
    from edgecnn.tuning.contest import Trial


@click.command()
@click.argument("bundles", metavar="FOLDER|BUNDLE...", nargs=-1, required=True, type=PATH)
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
    """
    from edgecnn.stages.measuring import tune as run

    with progress_bar() as progress:
        found = run(bundles, progress=progress, **options)
    emit(found, _text(found), as_json=as_json)
    for each in found.warnings:
        warn(each, strict=strict)
    click.echo(f"saved in {found.keep()}", err=True)


def _text(found: "Tuned") -> str:
    header = ("bundle", "setting", "p50 ms", "images/s", "runs", "")
    trials = sorted(found.trials, key=_order)
    table = columns([header, *(_row(trial, found) for trial in trials)], right=(2, 3, 4), optional=(4, 3))
    reasons = [f"{each.bundle} on {each.setting}: {each.out}" for each in trials if each.out not in (None, "slower")]
    return "\n".join([table, *reasons, "", found.profile.conclusion])


def _row(trial: "Trial", found: "Tuned") -> tuple[str, ...]:
    choice = found.profile.choice
    is_choice = (trial.digest, trial.setting) == (choice.bundle, choice.setting)
    end = "chosen" if is_choice else (trial.out or "slower").partition(":")[0].partition(" of ")[0]
    if trial.speed is None:
        return trial.bundle, str(trial.setting), "", "", "", end
    speed = trial.speed
    return (
        trial.bundle,
        str(trial.setting),
        f"{number(speed.p50_ms.value)} [{number(speed.p50_ms.low)}, {number(speed.p50_ms.high)}]",
        number(speed.images_per_s.value),
        f"{speed.runs:,}",
        end,
    )


def _order(trial: "Trial") -> tuple[bool, float]:
    return trial.speed is None, trial.speed.p50_ms.value / trial.setting.batch if trial.speed else 0.0
