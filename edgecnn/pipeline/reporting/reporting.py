"""`edgecnn report`: the content of a page about bundles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.manifest import utc_now
from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.reporting.answers import FamilyAnswers, answers_on
from edgecnn.pipeline.reporting.devices import DeviceCheck, checks_here, recorded_checks
from edgecnn.pipeline.reporting.families import Family, families
from edgecnn.pipeline.reporting.ranges import FamilyValues, values_of
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent

MOST_PICTURES = 96
"""Images that flip on one page. The pairs share them, so that the page stays small."""

_MOST_IN_PAIR = 24


@dataclass(frozen=True)
class FamilyReport:
    """The bundles of one reference.

    Attributes:
        family: the bundles.
        answers: their answers to labelled images; None without a data source.
        values: the ranges and histograms of their layers.
    """

    family: Family
    answers: FamilyAnswers | None
    values: FamilyValues


@dataclass(frozen=True)
class ReportContent:
    """The content of a report.

    Attributes:
        families: the bundles, in families of one reference.
        here: self-tests on this machine, for the report.
        records: verification records.
        command: the command that makes this report.
        created: UTC time, ISO 8601.
        version: version of edgecnn.
    """

    families: tuple[FamilyReport, ...]
    here: tuple[DeviceCheck, ...]
    records: tuple[DeviceCheck, ...]
    command: str
    created: str
    version: str


def make_report(
    bundles: Sequence[Bundle],
    *,
    data: str | None = None,
    records: Sequence[Path] = (),
    engine: str = "auto",
    strict: bool = False,
    command: str = "edgecnn.report",
    progress: Progress = silent,
) -> ReportContent:
    """Collect the content of a report.

    Args:
        bundles: at least one bundle.
        data: a source of labelled test images, or None.
        records: verification records of other machines, or folders of them.
        engine: the engine that answers the images: `auto`, `onnxruntime` or `openvino`.
        strict: turn warnings into errors.
        command: the command to show.
        progress: called after each step.

    Raises:
        UsageError: a record is of none of the bundles.
        SourceError: the data is unknown or has other classes, or images are missing or damaged.
        EngineError: an engine failed on the images of `data`.
        EdgecnnError: a file is not a verification record, or a logit is not finite.
    """
    found = families(bundles)
    subjects = [subject for family in found for subject in family.subjects]
    recorded = recorded_checks(subjects, records)
    source = None if data is None else open_source(data, strict=strict)
    pairs = sum(len(family.compared) for family in found)
    pictures = min(_MOST_IN_PAIR, MOST_PICTURES // max(pairs, 1))
    answers = [
        None
        if source is None
        else answers_on(family, source, engine=engine, pictures=pictures, strict=strict, progress=progress)
        for family in found
    ]
    parts = tuple(
        FamilyReport(family, answered, values_of(family, progress=progress))
        for family, answered in zip(found, answers, strict=True)
    )
    return ReportContent(
        families=parts,
        here=checks_here(subjects, progress=progress),
        records=recorded,
        command=command,
        created=utc_now(),
        version=versions()["edgecnn"],
    )
