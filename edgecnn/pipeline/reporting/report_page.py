"""The page of a report."""

from typing import Any

from edgecnn.files.schema import plain
from edgecnn.pages.page import LanguageChoice, Page, render
from edgecnn.pipeline.evaluation.label_metrics import MultiLabelMetrics
from edgecnn.pipeline.reporting.confusions import MOST_CLASSES, most_confused
from edgecnn.pipeline.reporting.reporting import FamilyReport, ReportContent
from edgecnn.pipeline.reporting.texts import points_text, reliability_of, size_text, steps_of, time_text
from edgecnn.runtime.rates import percent, three_digits

PACKAGE = "edgecnn.pipeline.reporting"
HELPERS: dict[str, Any] = {
    "percent": percent,
    "digits": three_digits,
    "points": points_text,
    "size": size_text,
    "when": time_text,
    "most_confused": most_confused,
    "most_classes": MOST_CLASSES,
}
"""Functions and limits that the templates of both pages use."""


def report_page(content: ReportContent, language: LanguageChoice = "auto") -> Page:
    """Return the page of a report, as one file without external resources."""
    return render(
        PACKAGE,
        "report.html",
        scripts=("report.js",),
        styles=("reporting.css",),
        charts=True,
        language=language,
        data=[_charts(family) for family in content.families],
        content=content,
        steps_of=steps_of,
        has_labels=lambda metrics: isinstance(metrics, MultiLabelMetrics),
        **HELPERS,
    )


def _charts(report: FamilyReport) -> dict[str, object]:
    """Return the content of the charts of a family, as JSON values."""
    answers = report.answers
    return {
        "names": [subject.name for subject in report.family.subjects],
        "reliability": []
        if answers is None
        else [reliability_of(each.subject.name, each.metrics) for each in answers.bundles],
        "layers": plain(report.values.layers),
    }
