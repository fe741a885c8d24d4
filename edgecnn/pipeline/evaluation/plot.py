"""Plot an evaluation: the confusion matrix and the calibration."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics

_MOST_NAMES = 40
"""Above this number of classes, their names would overlap."""

_MOST_NUMBERS = 12


def draw(metrics: ClassificationMetrics, title: str) -> bytes:
    """Return the plot as PNG."""
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    _confusion(left, metrics)
    _reliability(right, metrics)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _confusion(axes: Any, metrics: ClassificationMetrics) -> None:
    counts = np.asarray(metrics.confusion, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = list(metrics.per_class)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title="Confusion, as shares of each class", xlabel="answer", ylabel="class")
    if len(labels) <= _MOST_NAMES:
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
    if len(labels) <= _MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            text = f"{counts[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _reliability(axes: Any, metrics: ClassificationMetrics) -> None:
    width = 1 / len(metrics.bins)
    filled = [(number, each) for number, each in enumerate(metrics.bins) if each.images]
    places = [(number + 0.5) * width for number, _ in filled]
    heights = [each.accuracy or 0.0 for _, each in filled]
    axes.bar(places, heights, width=width * 0.92, color="#4c8cbf", label="right answers")
    axes.plot([0, 1], [0, 1], linestyle="--", color="black", label="perfect calibration")
    for place, height, (_, each) in zip(places, heights, filled, strict=True):
        axes.text(place, height + 0.01, str(each.images), ha="center", fontsize=7)
    axes.set(
        title=f"Calibration: expected error {metrics.calibration_error:.2%}; numbers are images",
        xlabel="probability of the answer",
        ylabel="fraction right",
        xlim=(0, 1),
        ylim=(0, 1.06),
    )
    axes.legend(loc="upper left")
