"""`edgecnn compare-networks`: train networks on the same images, and compare them on one page."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.completion import complete_architecture
from edgecnn.cli.options import (
    POSITIVE,
    command_line,
    json_option,
    labelled_data_option,
    language_option,
    out_option,
    strict_option,
)
from edgecnn.cli.output import columns, emit, printable, progress_bar, warn
from edgecnn.cli.train import EpochTable
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.stages.comparing import ComparedNetworks

_CONFUSED = 5


def _listed(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of an option that may be repeated, and may have several words with commas."""
    words = [word.strip() for text in texts for word in text.split(",")]
    if not all(words):
        raise UsageError(f"{option.opts[0]} expects words with commas, found {','.join(texts)!r}")
    return tuple(dict.fromkeys(words))


@click.command("compare-networks")
@click.argument("networks", metavar="ARCH...", nargs=-1, required=True, shell_complete=complete_architecture)
@labelled_data_option("digits, fashion-mnist, mnist, cifar10, or an image folder.")
@out_option("The folder to write: page, tables, checkpoints and bundles.")
@click.option("--epochs", type=POSITIVE, help="Epochs of each network. [default: the number in its recipe]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of each training. [default: that of the recipe]")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    default=["fp32,int8"],
    callback=_listed,
    metavar="LIST",
    help="fp32, int8 and fp16, with commas. [default: fp32,int8]",
)
@click.option(
    "--engines",
    multiple=True,
    callback=_listed,
    metavar="LIST",
    help="onnxruntime, openvino and pytorch, with commas. [default: the installed engines]",
)
@click.option("--rounds", type=click.IntRange(min=4), default=12, show_default=True, help="Turns of each bundle.")
@click.option(
    "--turn", "turn_s", type=click.FloatRange(min=0.01), default=0.25, show_default=True, help="Seconds per turn."
)
@language_option
@click.option("--force", is_flag=True, help="Discard an earlier comparison in the folder.")
@strict_option
@json_option
def compare_networks(networks: tuple[str, ...], source: str, out: Path, as_json: bool, **options: Any) -> None:
    """Train each ARCH on the same images by its recipe, and write one page and one table.

    The page OUT/index.html has accuracy with 95 % intervals (Wilson) on the whole test split, training curves,
    parameters, MACs, size, latency per engine and precision, accuracy against latency with the Pareto front, and the
    classes that each network confuses. OUT/table.csv and OUT/table.md have the figures.

    The same command continues an interrupted run: finished networks are kept, and an unfinished training goes on after
    its last epoch. Speeds are measured again, in turns. If a network fails, it is named, the other networks go on, and
    the exit code is 1.
    """
    from edgecnn.stages.comparing import compare_networks as run

    tables: defaultdict[str, EpochTable] = defaultdict(EpochTable)
    with progress_bar() as progress:
        found = run(
            networks,
            source,
            out,
            command=command_line(),
            on_note=lambda network, text: click.echo(printable(f"{network}: {text}"), err=True),
            on_epoch=lambda network, number, epochs, epoch: tables[network].row(number, epochs, epoch),
            progress=progress,
            **options,
        )
    emit(_summary(found), _text(found), as_json=as_json)
    for each in found.warnings:
        warn(each)
    for failure in found.content.failures:
        warn(f"{failure.network} failed in the step {failure.step}: {failure.reason}")
    found.raise_for_failures()


def _text(found: "ComparedNetworks") -> str:
    header, *rows = found.content.rows(on_front="{} (Pareto front)")
    table = columns([header, *rows], right=range(2, len(header)), optional=(4,))
    return f"{table}\n\n{found.folder}: index.html, table.csv and table.md"


def _summary(found: "ComparedNetworks") -> dict[str, Any]:
    """Return the measurements as JSON values."""
    from edgecnn.pipeline.reporting.confusions import most_confused

    content = found.content
    return {
        "folder": str(found.folder),
        "data": content.data,
        "networks": [
            {
                "name": network.name,
                "epochs": network.record.options.epochs,
                "best_epoch": network.record.best_epoch,
                "training_s": network.record.duration_s,
                "history": network.record.history,
                "bundles": [
                    {
                        "path": str(each.bundle.path),
                        "digest": each.bundle.digest,
                        "precision": each.precision,
                        "top1": each.metrics.top1,
                        "calibration_error": each.metrics.calibration_error,
                        "parameters": each.inspection.parameters,
                        "macs": each.inspection.macs,
                        "size_bytes": each.bundle.size_bytes,
                        "confused": most_confused(each.metrics, _CONFUSED),
                    }
                    for each in network.variants
                ],
            }
            for network in content.networks
        ],
        "speeds": [
            {
                "network": each.variant.network,
                "precision": each.variant.precision,
                "engine": each.engine,
                "p50_ms": each.p50_ms,
                "on_pareto_front": each.on_front,
            }
            for each in content.candidates
        ],
        "is_busy": content.benchmark.is_busy,
        "failures": content.failures,
    }
