"""Plot a benchmark: median time of a run and images per second, each with its confidence interval."""

import io
from typing import Any

from matplotlib.figure import Figure

from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.benchmark import Benchmark, Measured

_COLOURS = {"fp32": "#4c8cbf", "fp16": "#3f9c8f", "int8": "#d98032", "pytorch": "#888888"}


def draw(benchmark: Benchmark) -> bytes:
    """Return the plot as PNG."""
    results = sorted(benchmark.results, key=lambda each: each.speed.images_per_s.value)
    figure = Figure(figsize=(14, 1.5 + 0.35 * max(len(results), 3)), layout="constrained")
    engines = ", ".join(f"{name} {version.partition('-')[0]}" for name, version in benchmark.site.engines.items())
    figure.suptitle(f"{benchmark.site.processor}, {benchmark.site.cores} cores; {engines}")
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, results, [each.speed.p50_ms for each in results], "median time of one run, ms")
    _bars(right, results, [each.speed.images_per_s for each in results], "images a second")
    left.set_yticks(range(len(results)), [f"{each.bundle}, {each.setting}" for each in results])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _bars(axes: Any, results: list[Measured], figures: list[Estimate], label: str) -> None:
    colours = [_COLOURS.get(each.setting.engine, _COLOURS[each.model_precision]) for each in results]
    ends = [[f.value - f.low for f in figures], [f.high - f.value for f in figures]]
    axes.barh(range(len(figures)), [f.value for f in figures], color=colours, xerr=ends, capsize=3)
    for place, figure in enumerate(figures):
        axes.text(figure.high, place, f" {figure.value:.4g}", va="center", fontsize=8)
    axes.set(xlabel=label, xlim=(0, 1.15 * max((f.high for f in figures), default=1.0)))
    axes.spines[["top", "right"]].set_visible(False)
