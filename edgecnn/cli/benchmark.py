"""`edgecnn benchmark`: measure the speed of bundles on every engine and with every requested setting."""

import io
from csv import DictWriter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import (
    PATH,
    POSITIVE,
    PRECISION,
    file_option,
    json_option,
    measured_images_options,
    plot_option,
)
from edgecnn.cli.output import columns, counted, emit, number, progress_bar, warn
from edgecnn.cli.sustained import run_sustained
from edgecnn.runtime.engines.choices import ENGINES, PYTORCH, check_engine
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.runtime.rates import Estimate
    from edgecnn.tuning.measuring.benchmark import Benchmark, Measured
    from edgecnn.tuning.measuring.comparison import BenchmarkComparison


def _known_engines(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names of engines before the bundles are read."""
    for name in names:
        check_engine(name, names=(*ENGINES, PYTORCH))
    return names


@click.command()
@click.argument("bundles", metavar="BUNDLE|FOLDER...", nargs=-1, required=True, type=PATH)
@measured_images_options
@click.option(
    "--engine",
    "engines",
    multiple=True,
    callback=_known_engines,
    help="onnxruntime, openvino or pytorch. [default: all installed]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=PRECISION,
    default=["fp32"],
    help="Precision of float layers. [default: fp32]",
)
@click.option("--threads", multiple=True, type=POSITIVE, help="Threads of one run. [default: the usable cores]")
@click.option("--instances", multiple=True, type=POSITIVE, default=[1], help="Runs at the same time. [default: 1]")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1, 1024), default=[1], help="Batch size. [default: 1]"
)
@click.option("--rounds", type=click.IntRange(min=4), default=12, show_default=True, help="Turns of each candidate.")
@click.option(
    "--turn", "turn_s", type=click.FloatRange(min=0.01), default=0.25, show_default=True, help="Seconds per turn."
)
@click.option(
    "--compare", "earlier", type=PATH, metavar="OLD.json", help="Exit with code 3 if a bundle is slower than in OLD."
)
@click.option(
    "--sustained",
    "minutes",
    type=click.FloatRange(0.1, 1440),
    metavar="MINUTES",
    help="Run one bundle with one setting for this long; report clock, temperature and throttling.",
)
@file_option("--csv", "FILE.csv", help="Write the table as CSV.")
@plot_option("Write a plot of the times and the images per second.")
@json_option
def benchmark(
    bundles: tuple[Path, ...],
    minutes: float | None,
    csv: Path | None,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure latency, throughput and memory of BUNDLEs. All combinations of repeated options are measured.

    Each candidate runs in a separate process, in turns with all other candidates, after its times are steady.
    Intervals are 95 %, bootstrapped over the turns. With several instances a time includes the wait in the engine's
    queue, which differs between engines: compare images/s.

    With --data, images chosen at random from the test split, or from all images without classes, run in turns. The cost
    of a cascade depends on them: its mean time and the share of images that its accurate graph runs too are shown.

    --compare reads an earlier --json output. A difference is significant if the interval of the ratio excludes 1. If
    other work disturbs a benchmark, there is no verdict.

    --sustained needs --engine if several are installed, and ignores --rounds and --turn. Ctrl-C ends it early, with the
    result so far.
    """
    if minutes is not None:
        run_sustained(bundles, minutes, as_json=as_json, files=(csv, plot), **options)
        return
    from edgecnn.files.file import write_file
    from edgecnn.files.schema import plain
    from edgecnn.stages.measuring import benchmark as run

    if plot is not None:  # imported early, so that a missing Matplotlib is reported before the measurement
        from edgecnn.pipeline.evaluation.speed_plot import draw
    with progress_bar() as progress:
        found = run(bundles, progress=progress, **options)
    text, result = _table(found.benchmark), plain(found.benchmark)
    if found.comparison is not None:
        text += f"\n\n{_comparison(found.comparison)}"
        result |= {"comparison": plain(found.comparison)}
    emit(result, text, as_json=as_json)
    if csv is not None:
        write_file(csv, _csv(found.benchmark).encode())
    if plot is not None and found.benchmark.results:
        write_file(plot, draw(found.benchmark, plot.suffix))
    for each in found.warnings:
        warn(each)
    found.raise_for_failures()


def _table(benchmark: "Benchmark") -> str:
    """Return the results of each bundle and of its PyTorch reference, the fastest setting first."""
    has_cascade = any(each.speed.run_again is not None for each in benchmark.results)
    header = (
        *("  setting", "p50 ms", "p90 ms", "p99 ms"),
        *(("mean ms", "run again") if has_cascade else ("", "")),
        *("images/s", "interval", "memory"),
        "huge pages" if any(each.huge_page_bytes for each in benchmark.results) else "",
        "of the peak",
        "of the bandwidth" if benchmark.bandwidths else "",
        "",
    )
    ordered = sorted(benchmark.results, key=lambda each: (_title(each), -each.speed.images_per_s.value))
    rows = [
        (
            f"  {each.setting}",
            str(each.speed.p50_ms),
            str(each.speed.p90_ms),
            str(each.speed.p99_ms),
            "" if each.speed.mean_ms is None else str(each.speed.mean_ms),
            _run_again(each),
            number(each.speed.images_per_s.value),
            _range(each.speed.images_per_s),
            f"{each.resident_bytes / 2**20:,.0f} MiB",
            f"{each.huge_page_bytes / 2**20:,.0f} MiB" if each.huge_page_bytes else "",
            "" if each.peak_share is None else f"{each.peak_share:.0%}",
            "" if each.memory_share is None else f"{each.memory_share:.0%}",
            "" if each.steady else "not steady",
        )
        for each in ordered
    ]
    site = benchmark.site
    engines = ", ".join(f"{name} {version}" for name, version in site.engines.items())
    lines = [f"{site.processor}, {counted(site.cores, 'core')}; {engines}"]
    if benchmark.peaks:
        peaks = (f"{name} {number(value / 1e9)} GOP/s" for name, value in benchmark.peaks.items())
        lines.append(f"measured peak: {'; '.join(peaks)}")
    if benchmark.bandwidths:
        bandwidths = (f"{name} {number(value / 1e9)} GB/s" for name, value in benchmark.bandwidths.items())
        lines.append(f"measured read bandwidth: {'; '.join(bandwidths)}")
    if benchmark.data is not None:
        lines.append(f"on {benchmark.data.images} images of {benchmark.data.source} {benchmark.data.split}")
    table = columns([header, *rows], right=range(1, 12), optional=(3, 2, 9, 7, 8, 10, 11)).split("\n")
    titles = [_title(each) for each in ordered]
    lines += ["", table[0]]
    for title, line in zip(titles, table[1:], strict=False):
        lines += [title] if title not in lines else []
        lines.append(line)
    return "\n".join([*lines, *table[1 + len(rows) :]])


def _title(each: "Measured") -> str:
    """Return the title of the results of a bundle, or of its reference: a network of the same layers in PyTorch."""
    if each.setting.engine == PYTORCH:
        return f"{each.bundle}: reference, PyTorch FP32"
    return f"{each.bundle}: {each.model_precision.upper()}"


def _run_again(each: "Measured") -> str:
    """Return the share of images that ran again, and the one in the proof of a cascade."""
    if each.speed.run_again is None:
        return ""
    proven = "" if each.proven_again is None else f" (proof {percent(each.proven_again)})"
    return f"{percent(each.speed.run_again)}{proven}"


def _comparison(comparison: "BenchmarkComparison") -> str:
    """Return the comparison as text, the largest slowdown first."""
    from edgecnn.tuning.measuring.estimates import as_fast

    header = ("bundle", "setting", "before -> after", "speed", "")
    rows = [
        (
            each.bundle,
            f"{each.setting}{' (reference)' if each.setting.engine == PYTORCH else ''}",
            f"{number(each.before_ms)} -> {number(each.after_ms)} ms",
            "" if each.ratio is None else as_fast(each.ratio),
            each.verdict + ("" if each.same_bundle else " (another bundle with this name)"),
        )
        for each in sorted(comparison.changes, key=lambda each: each.ratio.value if each.ratio else 0.0)
    ]
    lines = [f"against {comparison.measured_at}, adjusted for the machine's own change:"]
    if comparison.site:
        lines.append(f"  {comparison.site}")
    if rows:
        lines.append(columns([header, *rows], right=(2, 3), optional=(2,)))
    lines += [f"  no longer runs: {name}" for name in comparison.failed]
    lines += [f"  not measured this time: {name}" for name in comparison.missing]
    return "\n".join(lines)


def _csv(benchmark: "Benchmark") -> str:
    """Return the table as CSV, one line per result, unrounded."""
    rows = [_flat(each) for each in benchmark.results]
    buffer = io.StringIO()
    if rows:
        writer = DictWriter(buffer, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return buffer.getvalue()


def _flat(each: "Measured") -> dict[str, object]:
    row: dict[str, object] = {"bundle": each.bundle, "digest": each.digest, "model_precision": each.model_precision}
    row |= vars(each.setting) | {"version": each.version}
    for name in ("p50_ms", "p90_ms", "p99_ms", "images_per_s"):
        estimate = getattr(each.speed, name)
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    row |= {
        "mean_ms": None if each.speed.mean_ms is None else each.speed.mean_ms.value,
        "run_again": each.speed.run_again,
    }
    row |= {"runs": each.speed.runs, "warm_up_runs": each.warm_up_runs, "steady": each.steady}
    row |= {"open_s": each.open_s, "resident_bytes": each.resident_bytes, "huge_page_bytes": each.huge_page_bytes}
    return row | {"peak_share": each.peak_share, "memory_share": each.memory_share}


def _range(estimate: "Estimate") -> str:
    return f"[{number(estimate.low)}, {number(estimate.high)}]"
