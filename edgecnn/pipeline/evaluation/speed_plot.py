"""Plot a benchmark: median time of a run and images per second, each with its confidence interval."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from edgecnn.pipeline.plotting import legible, rendered, spans_decades, use_decades
from edgecnn.runtime.rates import Estimate, three_digits
from edgecnn.tuning.measuring.benchmark import Benchmark, Measured

_COLOURS = {"fp32": "#4c8cbf", "fp16": "#3f9c8f", "int8": "#d98032", "pytorch": "#888888"}
_NAMES = {"fp32": "FP32", "fp16": "FP16", "int8": "INT8", "pytorch": "PyTorch"}


def draw(benchmark: Benchmark, suffix: str) -> bytes:
    """Return the plot, in the format of a file with this suffix: `.png`, `.svg` or `.pdf`."""
    results = sorted(benchmark.results, key=lambda each: each.speed.images_per_s.value)
    names = [f"{each.bundle}, {each.setting}" for each in results]
    site = benchmark.site
    engines = ", ".join(f"{name} {version.partition('-')[0]}" for name, version in site.engines.items())
    title = f"{site.processor}, {site.cores} core{'' if site.cores == 1 else 's'}; {engines}"
    with legible([title, *names]) as texts:
        figure = Figure(figsize=(15, 1.5 + 0.35 * max(len(results), 3)), layout="constrained")
        figure.suptitle(texts.line(title))
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, results, [each.speed.p50_ms for each in results], "median time of one run, ms")
        _bars(right, results, [each.speed.images_per_s for each in results], "images a second")
        left.set_yticks(range(len(results)), map(texts.line, names))
        kinds = dict.fromkeys(_kind(each) for each in reversed(results))
        handles = [Patch(color=_COLOURS[kind], label=_NAMES[kind]) for kind in kinds]
        figure.legend(handles=handles, loc="outside right upper", frameon=False)
        return rendered(figure, suffix)


def _kind(each: Measured) -> str:
    """Return the key of a result's colour: PyTorch, or the precision of the bundle."""
    return each.setting.engine if each.setting.engine in _COLOURS else each.model_precision


def _bars(axes: Any, results: list[Measured], figures: list[Estimate], label: str) -> None:
    colours = [_COLOURS[_kind(each)] for each in results]
    ends = [[f.value - f.low for f in figures], [f.high - f.value for f in figures]]
    axes.barh(range(len(figures)), [f.value for f in figures], color=colours, xerr=ends, capsize=3)
    for place, figure in enumerate(figures):
        axes.text(figure.high, place, f" {three_digits(figure.value)}", va="center", fontsize=8)
    lowest, highest = (min(f.low for f in figures), max(f.high for f in figures)) if figures else (0.0, 1.0)
    if spans_decades([lowest, highest]):
        axes.set(xlim=(lowest / 2, highest * (highest / lowest) ** 0.2), xlabel=f"{label}, logarithmic")
        use_decades(axes.xaxis)
    else:
        axes.set(xlim=(0, 1.15 * highest), xlabel=label)
    axes.spines[["top", "right"]].set_visible(False)
