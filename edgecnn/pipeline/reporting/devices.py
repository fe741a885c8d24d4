"""Whether bundles give the reference's answers on devices: self-tests on this machine, and verification records."""

import contextlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.manifest import utc_now
from edgecnn.errors import EdgecnnError, EngineError, SaturationWarning, UsageError
from edgecnn.files.places import state_folder
from edgecnn.pipeline.reporting.families import Subject
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.record import VerificationRecord, read_record
from edgecnn.runtime.verification.replay import SelfTestResult, replay


@dataclass(frozen=True)
class DeviceCheck:
    """A self-test of a bundle on an engine.

    Attributes:
        bundle: name of the bundle.
        place: file of the verification record; None for a self-test that ran for the report.
        measured: UTC time, ISO 8601.
        session: the session that ran; None if the engine failed.
        self_test: the result; None likewise.
        failure: why the engine failed; None if it ran.
        record: the verification record; None without one.
    """

    bundle: str
    place: str | None
    measured: str
    session: SessionInfo | None
    self_test: SelfTestResult | None
    failure: str | None = None
    record: VerificationRecord | None = None

    @property
    def holds(self) -> bool:
        """Whether the answers are the reference's."""
        if self.record is not None:
            return self.record.holds
        return self.self_test is not None and self.self_test.holds


def checks_here(subjects: Sequence[Subject], *, progress: Progress = silent) -> tuple[DeviceCheck, ...]:
    """Run the self-test of each bundle on each installed engine."""
    jobs = [(subject, engine) for subject in subjects for engine in installed()]
    found = []
    for number, (subject, engine) in enumerate(jobs):
        progress("self-tests", number, len(jobs), f"{subject.name} on {engine}")
        found.append(_check_here(subject, engine))
    progress("self-tests", len(jobs), len(jobs))
    return tuple(found)


def _check_here(subject: Subject, engine: str) -> DeviceCheck:
    bundle, now = subject.bundle, utc_now()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturationWarning)  # a failed self-test shows it
            session = open_session(bundle, engine=engine)
        with contextlib.closing(session):
            result = replay(bundle.self_test(), session, bundle.manifest.preprocessing, bundle.manifest.scores)
    except EngineError as error:
        return DeviceCheck(subject.name, None, now, None, None, failure=str(error))
    return DeviceCheck(subject.name, None, now, session.info, result)


def recorded_checks(subjects: Sequence[Subject], places: Iterable[Path] = ()) -> tuple[DeviceCheck, ...]:
    """Return the verification records of these bundles, by bundle and time.

    Args:
        subjects: the bundles.
        places: records, or folders of records, from other machines. The records of this machine are read anyway.

    Raises:
        UsageError: a place does not exist, or a record is of none of the bundles.
        EdgecnnError: a file is not a verification record.
    """
    digests = {subject.bundle.digest: subject.name for subject in subjects}
    found = {path: record for path, record in _own_records() if record.bundle in digests}
    for place in places:
        if not place.exists():
            raise UsageError(f"{place} does not exist: expected a verification record, or a folder of them")
        for path in _records_in(place):
            record = read_record(path)
            if record is not None and record.bundle in digests:
                found[path.resolve()] = record
            elif record is not None and not place.is_dir():
                raise UsageError(f"{path} is a record of another bundle, {record.name} ({record.bundle[:12]})")
    order = list(digests)
    records = sorted(found.items(), key=lambda item: (order.index(item[1].bundle), item[1].measured))
    return tuple(
        DeviceCheck(digests[each.bundle], path.name, each.measured, each.session, each.self_test, record=each)
        for path, each in records
    )


def _own_records() -> Iterable[tuple[Path, VerificationRecord]]:
    """Yield the records in the state folder. Files that are not records are skipped."""
    try:
        folder = state_folder() / "verifications"
    except EdgecnnError:  # this user has no home folder
        return
    for path in _records_in(folder):
        with contextlib.suppress(EdgecnnError):
            record = read_record(path)
            if record is not None:
                yield path.resolve(), record


def _records_in(place: Path) -> list[Path]:
    return sorted(place.glob("*.json")) if place.is_dir() else [place] if place.exists() else []
