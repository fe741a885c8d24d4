"""Plot an evaluation: the confusion matrix, or precision and recall of each label, and the calibration."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics

_MOST_NAMES = 40
"""Above this number of classes, their names would overlap."""

_MOST_NUMBERS = 12


def draw(metrics: ClassificationMetrics | MultiLabelMetrics, subject: str) -> bytes:
    """Return the plot as PNG. `subject` is the first part of its title."""
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    if isinstance(metrics, MultiLabelMetrics):
        name, accuracy = "exact match", metrics.exact_match
        _labels(left, metrics)
    else:
        name, accuracy = "top-1", metrics.top1
        _confusion(left, metrics)
    figure.suptitle(f"{subject}: {name} {'unknown' if accuracy.value is None else f'{accuracy.value:.2%}'}")
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


def _labels(axes: Any, metrics: MultiLabelMetrics) -> None:
    names, found = list(metrics.per_label), metrics.per_label.values()
    places = np.arange(len(names))
    precisions = [each.precision.value or 0.0 for each in found]
    recalls = [each.recall.value or 0.0 for each in found]
    axes.barh(places - 0.2, precisions, height=0.4, color="#4c8cbf", label="precision")
    axes.barh(places + 0.2, recalls, height=0.4, color="#d98032", label="recall")
    axes.set(title="Precision and recall of each label", xlim=(0, 1), ylabel="label")
    axes.invert_yaxis()  # the first label on top
    axes.set_yticks(places, names) if len(names) <= _MOST_NAMES else axes.set_yticks([])
    axes.legend(loc="lower right")


def _reliability(axes: Any, metrics: ClassificationMetrics | MultiLabelMetrics) -> None:
    width, counted = 1 / len(metrics.bins), "decisions" if isinstance(metrics, MultiLabelMetrics) else "images"
    filled = [(number, each) for number, each in enumerate(metrics.bins) if each.images]
    places = [(number + 0.5) * width for number, _ in filled]
    heights = [each.accuracy or 0.0 for _, each in filled]
    axes.bar(places, heights, width=width * 0.92, color="#4c8cbf", label="right answers")
    axes.plot([0, 1], [0, 1], linestyle="--", color="black", label="perfect calibration")
    for place, height, (_, each) in zip(places, heights, filled, strict=True):
        axes.text(place, height + 0.01, str(each.images), ha="center", fontsize=7)
    axes.set(
        title=f"Calibration: expected error {metrics.calibration_error:.2%}; numbers are {counted}",
        xlabel="probability of the answer",
        ylabel="fraction right",
        xlim=(0, 1),
        ylim=(0, 1.06),
    )
    axes.legend(loc="upper left")
