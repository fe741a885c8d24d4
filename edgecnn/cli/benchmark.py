"""`edgecnn benchmark`: how fast bundles are here, on every engine and under every setting that is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.errors import EdgecnnError, SlowerThanBefore, UsageError

if TYPE_CHECKING:
    from edgecnn.runtime.setting import Setting
    from edgecnn.tuning.measuring.comparison import Comparison


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
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="FILE.csv", help="Write the table there.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw it.")
@json_option
def benchmark(
    bundles: tuple[Path, ...],
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    streams: tuple[int, ...],
    batches: tuple[int, ...],
    rounds: int,
    turn: float,
    compare: Path | None,
    csv_file: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure latency, throughput and memory of BUNDLEs; options that are given several times are combined.

    Every candidate runs in a process of its own, in turns with all others, after its times have become steady.
    Intervals are 95 %, bootstrapped over the turns. With several streams a time includes waiting in the engine's queue,
    which is not the same on every engine: compare images/s.
    --compare takes what --json wrote on another day: a difference is real where its interval excludes zero.
    """
    _check_name(plot, "--plot", ".png")
    _check_name(csv_file, "--csv", ".csv")
    from edgecnn.bundle.finding import bundle_paths, check_outside_bundles
    from edgecnn.bundle.store import open_bundle
    from edgecnn.cli.benchmark_text import benchmark_text, comparison_text, csv_text
    from edgecnn.cli.bundles import reference_modules
    from edgecnn.files.file import write_file
    from edgecnn.files.schema import plain
    from edgecnn.tuning.measuring.benchmark import benchmark as run
    from edgecnn.tuning.measuring.comparison import compare as hold_against
    from edgecnn.tuning.measuring.comparison import read_benchmark
    from edgecnn.tuning.measuring.peaks import peak_apart

    for place in (plot, csv_file):
        if place is not None:
            check_outside_bundles(place)
    if plot is not None:
        from edgecnn.pipeline.evaluation.speed_plot import draw
    earlier = None if compare is None else read_benchmark(compare)
    opened = [open_bundle(path) for path in bundle_paths(bundles)]
    modules = reference_modules()
    candidates = _settings(backends, modules, precisions=precisions, threads=threads, streams=streams, batches=batches)
    with progress_bar() as progress:
        found = run(
            opened,
            candidates,
            rounds=rounds,
            turn_s=turn,
            modules=modules,
            peak=peak_apart,
            progress=progress,
        )
    changes = None if earlier is None else hold_against(earlier, found)
    text = benchmark_text(found) if changes is None else f"{benchmark_text(found)}\n\n{comparison_text(changes)}"
    emit(plain(found) if changes is None else plain(found) | {"comparison": plain(changes)}, text, as_json=as_json)
    if csv_file is not None:
        write_file(csv_file, csv_text(found).encode())
    if plot is not None and found.results:
        write_file(plot, draw(found))
    for note in dict.fromkeys(note for each in found.results for note in each.notes):
        warn(note)
    for failed in found.failed:
        warn(f"{failed.bundle} does not run on {failed.setting}: {failed.reason}")
    if not found.results:
        raise EdgecnnError("nothing of what was asked for runs here; `edgecnn doctor` says what does")
    if changes is not None:
        _judge(changes, compare)


def _judge(changes: "Comparison", earlier: Path | None) -> None:
    """Fail where something is slower than before, does not run any more, or nothing could be compared."""
    if changes.failed:
        raise SlowerThanBefore(f"{len(changes.failed)} that ran in {earlier} do not run any more: {changes.failed[0]}")
    if not changes.changes:
        raise UsageError(f"{earlier} has measured none of these bundles under these settings: nothing can be compared")
    if changes.slower:
        worst = max(changes.slower, key=lambda each: each.change.low)
        raise SlowerThanBefore(
            f"{len(changes.slower)} of {len(changes.changes)} are slower than in {earlier}; the worst: {worst.bundle} "
            f"on {worst.setting}, {worst.change.value:+.1%} [{worst.change.low:+.1%}, {worst.change.high:+.1%}]"
        )


def _settings(backends: tuple[str, ...], modules: dict[str, str], **ways: Any) -> "list[Setting]":
    """Return the combinations; of PyTorch, which knows neither streams nor other precisions, those that it has."""
    from edgecnn.host.resources import usable_cores
    from edgecnn.runtime.engines.backends import NONE_INSTALLED, installed
    from edgecnn.runtime.engines.choices import BACKENDS
    from edgecnn.runtime.setting import PYTORCH
    from edgecnn.tuning.measuring.benchmark import settings

    for name in backends:
        if name not in (*BACKENDS, PYTORCH):
            raise UsageError(f"there is no backend {name!r}: choose {', '.join(BACKENDS)} or {PYTORCH}")
        if name not in (*installed(), *modules):
            extra = "pipeline" if name == PYTORCH else name
            raise UsageError(f"{name} is not installed: pip install 'edgecnn[{extra}]'")
    names = backends or (*installed(), *modules)
    if not names:
        raise EdgecnnError(NONE_INSTALLED)
    ways["threads"] = ways["threads"] or (usable_cores(),)
    engines = settings([name for name in names if name != PYTORCH], **ways)
    if PYTORCH not in names:
        return engines
    reference = settings([PYTORCH], threads=ways["threads"], batches=ways["batches"])
    return engines + reference


def _check_name(path: Path | None, option: str, suffix: str) -> None:
    if path is not None and path.suffix.lower() != suffix:
        raise UsageError(f"{option} {path}: expected a name that ends in {suffix}")
