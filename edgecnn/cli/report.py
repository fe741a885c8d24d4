"""`edgecnn report`: write one page about bundles."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.completion import complete_source
from edgecnn.cli.options import (
    PATH,
    command_line,
    engine_option,
    file_option,
    force_option,
    json_option,
    language_option,
    strict_option,
)
from edgecnn.cli.output import columns, emit, progress_bar

if TYPE_CHECKING:
    from edgecnn.pipeline.reporting.answers import BundleAnswers, PairAnswers
    from edgecnn.stages.reporting import Report


@click.command()
@click.argument("bundles", metavar="BUNDLE|FOLDER...", nargs=-1, required=True, type=PATH)
@file_option("--out", "REPORT.html", help="The page to write.", required=True)
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_source,
    help="Labelled images: a data source's name or an image folder. Its test split is used. [default: none]",
)
@click.option(
    "--record",
    "records",
    metavar="FILE|FOLDER",
    multiple=True,
    type=PATH,
    help="Verification records of other machines. Records of this machine are found.",
)
@engine_option
@language_option
@force_option
@strict_option
@json_option
def report(bundles: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Write one page about BUNDLEs.

    The page has a model card of each bundle, ranges and histograms of the layers, self-tests on this machine,
    verification records, and the commands that made the bundles. With --data it also has accuracy, confused classes and
    a reliability diagram. Bundles of one reference are compared with their FP32 bundle: agreement, drop, and the images
    that flip. The page is below 3 MB, sends no request, and can be printed.
    """
    from edgecnn.stages.reporting import report as run

    with progress_bar() as progress:
        found = run(bundles, command=command_line(), progress=progress, **options)
    emit(_summary(found), _text(found), as_json=as_json)


def _summary(found: "Report") -> dict[str, Any]:
    """Return the measurements as JSON values, without pictures and histograms."""
    return {
        "path": str(found.path),
        "size_bytes": found.size_bytes,
        "bundles": [
            {
                "name": each.name,
                "path": str(each.bundle.path),
                "digest": each.bundle.digest,
                "precision": each.bundle.manifest.precision,
            }
            for report in found.content.families
            for each in report.family.subjects
        ],
        "answers": [
            {"bundle": each.subject.name, "session": each.session, "metrics": each.metrics} for each in _answers(found)
        ],
        "pairs": [
            {"bundle": pair.subject.name, "compared_with": first, "agreement": pair.agreement}
            for first, pair in _pairs(found)
        ],
        "self_tests": found.content.here,
        "records": found.content.records,
    }


def _text(found: "Report") -> str:
    return f"{found.path}: {found.size_bytes / 1024:,.0f} KiB\n\n{columns(found.rows(), right=(1, 2))}"


def _answers(found: "Report") -> "list[BundleAnswers]":
    return [each for report in found.content.families if report.answers for each in report.answers.bundles]


def _pairs(found: "Report") -> "list[tuple[str, PairAnswers]]":
    """Return each comparison with the name of its FP32 bundle."""
    return [
        (report.family.first.name, pair)
        for report in found.content.families
        if report.answers
        for pair in report.answers.pairs
    ]
