"""Plot an evaluation: the confusion matrix, or precision and recall of each label, and the calibration."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics
from edgecnn.pipeline.plotting import Texts, legend_beside, legible, rendered

_MOST_NAMES = 40
"""Above this number of classes, their names would overlap."""

_MOST_NUMBERS = 12


def draw(metrics: ClassificationMetrics | MultiLabelMetrics, subject: str, suffix: str) -> bytes:
    """Return the plot. `subject` is the first part of its title, `suffix` the format: `.png`, `.svg` or `.pdf`."""
    names = metrics.per_label if isinstance(metrics, MultiLabelMetrics) else metrics.per_class
    with legible([subject, *names]) as texts:
        figure = Figure(figsize=(15, 6.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        if isinstance(metrics, MultiLabelMetrics):
            name, accuracy = "exact match", metrics.exact_match
            _labels(left, metrics, texts)
        else:
            name, accuracy = "top-1", metrics.top1
            _confusion(left, metrics, texts)
        title = f"{subject}: {name} {'unknown' if accuracy.value is None else f'{accuracy.value:.2%}'}"
        figure.suptitle(texts.line(title))
        _reliability(right, metrics)
        return rendered(figure, suffix)


def _confusion(axes: Any, metrics: ClassificationMetrics, texts: Texts) -> None:
    counts = np.asarray(metrics.confusion, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = list(metrics.per_class)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title="Confusion, as shares of each class", xlabel="answer", ylabel="class")
    if len(labels) <= _MOST_NAMES:
        axes.set_ylabel(texts.axis("class", labels))
        axes.set_xticks(range(len(labels)), texts.names(labels), rotation=90)
        axes.set_yticks(range(len(labels)), texts.names(labels))
    if len(labels) <= _MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            text = f"{counts[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _labels(axes: Any, metrics: MultiLabelMetrics, texts: Texts) -> None:
    names, found = list(metrics.per_label), metrics.per_label.values()
    places = np.arange(len(names))
    precisions = [each.precision.value or 0.0 for each in found]
    recalls = [each.recall.value or 0.0 for each in found]
    axes.barh(places - 0.2, precisions, height=0.4, color="#4c8cbf", label="precision")
    axes.barh(places + 0.2, recalls, height=0.4, color="#d98032", label="recall")
    axes.set(title="Precision and recall of each label", xlim=(0, 1), ylabel="label")
    axes.invert_yaxis()  # the first label on top
    if len(names) <= _MOST_NAMES:
        axes.set_ylabel(texts.axis("label", names))
        axes.set_yticks(places, texts.names(names))
    else:
        axes.set_yticks([])
    legend_beside(axes)


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
    legend_beside(axes)
