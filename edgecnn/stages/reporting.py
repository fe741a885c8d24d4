"""`edgecnn.report`: write one page about bundles."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.errors import UsageError
from edgecnn.files.file import check_new_file, write_file
from edgecnn.pages.page import LanguageChoice
from edgecnn.progress import Progress, silent
from edgecnn.stages.opening import BundleLike, open_all

if TYPE_CHECKING:
    from edgecnn.pipeline.reporting.reporting import ReportContent


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        path: the page.
        size_bytes: its size.
        content: the measurements on it.
    """

    path: Path
    size_bytes: int
    content: "ReportContent"

    def __repr__(self) -> str:
        names = [each.name for report in self.content.families for each in report.family.subjects]
        return f"<Report {self.path}: {', '.join(names)}>"

    def _repr_html_(self) -> str:
        """Return the bundles with their accuracy and self-tests as a table, for notebooks."""
        from edgecnn.html_table import table

        header, *rows = self.rows()
        return table(f"Report {self.path}", rows, header=header)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the columns' names, and the texts of a row for each bundle."""
        parts = [report.answers for report in self.content.families if report.answers is not None]
        accuracies = {each.subject.name: str(each.accuracy) for part in parts for each in part.bundles}
        agreements = {each.subject.name: str(each.agreement.agreement) for part in parts for each in part.pairs}
        names = [each.name for report in self.content.families for each in report.family.subjects]
        return [
            ("bundle", "accuracy", "agreement", "self-tests"),
            *((name, accuracies.get(name, ""), agreements.get(name, ""), self._held(name)) for name in names),
        ]

    def _held(self, bundle: str) -> str:
        """Return the results of a bundle's self-tests on this machine."""
        return ", ".join(
            f"{each.session.engine} {'holds' if each.holds else 'does not hold'}"
            if each.session
            else "an engine failed"
            for each in self.content.here
            if each.bundle == bundle
        )


def report(
    bundles: BundleLike | Iterable[BundleLike],
    out: str | Path,
    *,
    data: str | Path | None = None,
    records: Iterable[str | Path] = (),
    engine: str = "auto",
    language: LanguageChoice = "auto",
    force: bool = False,
    strict: bool = False,
    command: str = "edgecnn.report",
    progress: Progress = silent,
) -> Report:
    """Write a report of bundles: model cards, accuracy, the effect of quantization, layers, devices and commands.

    The page is one file of less than 3 MB that sends no request to any host. Bundles of one reference are compared with
    their FP32 bundle.

    Args:
        bundles: bundles, their folders, or folders of bundles.
        out: the HTML file to write.
        data: a data source's name or an image folder. Its test split is answered by every bundle. Without it, the page
            has no accuracy, confusion and calibration.
        records: verification records of other machines, or folders of them. Records of this machine are found.
        engine: the engine that answers the images: `auto`, `onnxruntime` or `openvino`.
        language: language of the page: `en`, `zh`, or `auto` for that of the browser.
        force: replace an existing file.
        strict: turn warnings into errors.
        command: command line to show on the page.
        progress: called after each step.

    Warns:
        OverlapWarning: a bundle was calibrated with some of the images.
        SourceWarning: the images cover some of the classes only, or files are left out.

    Raises:
        BundleError: a path is not an intact bundle.
        UsageError: `out` exists, or a record is of none of the bundles.
        SourceError: the data is unknown or has other classes, or images are missing or damaged.
        EngineError: an engine failed on the images of `data`.
    """
    out = Path(out)
    check_outside_bundles(out)
    check_new_file(out, force=force)
    opened = open_all(bundles)
    if not opened:
        raise UsageError("a report needs at least one bundle")
    from edgecnn.pipeline.reporting.report_page import report_page
    from edgecnn.pipeline.reporting.reporting import make_report

    content = make_report(
        opened,
        data=None if data is None else str(data),
        records=[Path(each) for each in records],
        engine=engine,
        strict=strict,
        command=command,
        progress=progress,
    )
    html = report_page(content, language).html.encode()
    write_file(out, html)
    return Report(out, len(html), content)
