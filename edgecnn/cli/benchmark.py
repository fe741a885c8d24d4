"""`edgecnn benchmark`: how fast bundles are here, on every engine and under every setting that is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecnn.cli.options import file_option, json_option
from edgecnn.cli.output import emit, progress_bar, warn

if TYPE_CHECKING:
    from edgecnn.runtime.engines.backend import Precision


@click.command()
@click.argument("bundles", metavar="BUNDLE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--backend", "backends", multiple=True, help="onnxruntime, openvino or pytorch. [default: all there are]")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["fp32", "tf32", "bf16", "fp16"]),
    default=["fp32"],
    help="What float layers compute in. [default: fp32]",
)
@click.option("--threads", multiple=True, type=click.IntRange(min=1), help="Of one run. [default: the usable cores]")
@click.option("--streams", multiple=True, type=click.IntRange(min=1), default=[1], help="Runs at once. [default: 1]")
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1, 1024), default=[1], help="[default: 1]")
@click.option("--rounds", type=click.IntRange(min=4), default=12, show_default=True, help="Turns of each candidate.")
@click.option("--turn", type=click.FloatRange(min=0.01), default=0.25, show_default=True, help="Seconds of one turn.")
@click.option("--compare", type=click.Path(path_type=Path), metavar="OLD.json", help="Exit 3 where one is slower.")
@file_option("--csv", "FILE.csv", help="Write the table there.")
@file_option("--plot", "FILE.png", help="Draw it.")
@json_option
def benchmark(
    bundles: tuple[Path, ...],
    backends: tuple[str, ...],
    precisions: "tuple[Precision, ...]",
    threads: tuple[int, ...],
    streams: tuple[int, ...],
    batches: tuple[int, ...],
    rounds: int,
    turn: float,
    compare: Path | None,
    csv: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure latency, throughput and memory of BUNDLEs; options that are given several times are combined.

    Every candidate runs in a process of its own, in turns with all others, after its times have become steady.
    Intervals are 95 %, bootstrapped over the turns. With several streams a time includes waiting in the engine's queue,
    which is not the same on every engine: compare images/s.
    --compare takes what --json wrote on another day: a difference is real where its interval excludes zero.
    """
    from edgecnn.cli.benchmark_text import benchmark_text, comparison_text, csv_text
    from edgecnn.files.file import write_file
    from edgecnn.files.schema import plain
    from edgecnn.pipeline.measured import reference_modules
    from edgecnn.runtime.choosing import open_bundles
    from edgecnn.tuning.benchmark import benchmark as run

    if plot is not None:  # imported now, so that a missing Matplotlib is reported before the work
        from edgecnn.pipeline.evaluation.speed_plot import draw
    with progress_bar() as progress:
        found = run(
            open_bundles(bundles),
            backends=backends,
            precisions=precisions,
            threads=threads,
            streams=streams,
            batches=batches,
            rounds=rounds,
            turn_s=turn,
            earlier=compare,
            modules=reference_modules(),
            progress=progress,
        )
    text, result = benchmark_text(found.benchmark), plain(found.benchmark)
    if found.comparison is not None:
        text += f"\n\n{comparison_text(found.comparison)}"
        result |= {"comparison": plain(found.comparison)}
    emit(result, text, as_json=as_json)
    if csv is not None:
        write_file(csv, csv_text(found.benchmark).encode())
    if plot is not None and found.benchmark.results:
        write_file(plot, draw(found.benchmark))
    for each in found.warnings:
        warn(each)
    found.raise_for_failures()
