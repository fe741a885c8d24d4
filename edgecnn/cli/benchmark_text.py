"""A benchmark as a table of text or CSV, and what has changed since an earlier one."""

import csv
import io
from typing import TYPE_CHECKING

from edgecnn.cli.output import columns, counted

if TYPE_CHECKING:
    from edgecnn.runtime.rates import Estimate
    from edgecnn.tuning.measuring.benchmark import Benchmark, Measured
    from edgecnn.tuning.measuring.comparison import Comparison


def benchmark_text(benchmark: "Benchmark") -> str:
    """Return the table, the fastest of each bundle first."""
    header = ("bundle", "", "setting", "p50 ms", "p90 ms", "p99 ms", "images/s", "memory", "of the peak", "")
    ordered = sorted(benchmark.results, key=lambda each: (each.bundle, -each.speed.images_per_s.value))
    rows = [
        (
            each.bundle,
            each.model_precision,
            str(each.setting),
            _interval(each.speed.p50_ms),
            _interval(each.speed.p90_ms),
            _interval(each.speed.p99_ms),
            _interval(each.speed.images_per_s),
            f"{each.resident_bytes / 2**20:.0f} MiB",
            "" if each.peak_share is None else f"{each.peak_share:.0%}",
            "" if each.steady else "not steady",
        )
        for each in ordered
    ]
    site = benchmark.site
    engines = ", ".join(f"{name} {version}" for name, version in site.engines.items())
    lines = [f"{site.processor}, {counted(site.cores, 'core')}; {engines}"]
    if benchmark.peaks:
        peaks = (f"{name} {value / 1e9:.0f} GOP/s" for name, value in benchmark.peaks.items())
        lines.append(f"measured peak: {'; '.join(peaks)}")
    return "\n".join([*lines, "", columns([header, *rows], right=range(3, 9))])


def comparison_text(comparison: "Comparison") -> str:
    """Return what has changed, the slowest first."""
    rows = [
        (
            each.bundle,
            str(each.setting),
            f"{each.before_ms:.3g} -> {each.after_ms:.3g} ms",
            f"{each.change.value:+.1%} [{each.change.low:+.1%}, {each.change.high:+.1%}]",
            each.verdict + ("" if each.same_bundle else " (another bundle of that name)"),
        )
        for each in sorted(comparison.changes, key=lambda each: -each.change.value)
    ]
    lines = [f"against {comparison.measured_at}, the machine's own change taken out:"]
    if comparison.site:
        lines.append(f"  {comparison.site}")
    if rows:
        lines.append(columns(rows, right=(2, 3)))
    lines += [f"  does not run any more: {name}" for name in comparison.failed]
    lines += [f"  not measured now: {name}" for name in comparison.missing]
    return "\n".join(lines)


def csv_text(benchmark: "Benchmark") -> str:
    """Return the table as CSV, one line a result, full figures."""
    buffer = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for each in benchmark.results:
        row = _flat(each)
        if writer is None:
            writer = csv.DictWriter(buffer, list(row))
            writer.writeheader()
        writer.writerow(row)
    return buffer.getvalue()


def _flat(each: "Measured") -> dict[str, object]:
    row: dict[str, object] = {"bundle": each.bundle, "digest": each.digest, "model_precision": each.model_precision}
    row |= vars(each.setting) | {"version": each.version}
    for name in ("p50_ms", "p90_ms", "p99_ms", "images_per_s"):
        estimate = getattr(each.speed, name)
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    row |= {"runs": each.speed.runs, "warm_up_runs": each.warm_up_runs, "steady": each.steady}
    return row | {"open_s": each.open_s, "resident_bytes": each.resident_bytes, "peak_share": each.peak_share}


def _interval(estimate: "Estimate") -> str:
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"
