"""Self-tests and verification records in a report."""

import shutil
from pathlib import Path

import pytest

from edgecnn import verify
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.pipeline.reporting.devices import checks_here, recorded_checks
from edgecnn.pipeline.reporting.families import Subject, families
from edgecnn.runtime.engines.registry import installed


@pytest.fixture
def subjects(committed: Bundle) -> list[Subject]:
    return list(families([committed])[0].subjects)


def test_runs_the_self_test_on_each_engine(subjects: list[Subject]):
    found = checks_here(subjects)
    assert [each.session.engine for each in found if each.session] == list(installed())
    assert all(each.holds for each in found)


def test_shows_a_self_test_that_fails(lying_bundle: Bundle):
    found = checks_here(list(families([lying_bundle])[0].subjects))
    assert not any(each.holds for each in found)
    assert all(each.self_test and each.self_test.failures for each in found)


def test_finds_the_records_of_this_machine(subjects: list[Subject], committed: Bundle):
    assert recorded_checks(subjects) == ()
    verify(committed, engine="onnxruntime")
    (found,) = recorded_checks(subjects)
    assert found.holds
    assert found.place == "lenet-digits-int8.onnxruntime.json"


def test_reads_records_of_other_machines_once(subjects: list[Subject], committed: Bundle, tmp_path: Path):
    verify(committed, engine="onnxruntime", record=tmp_path / "records" / "pi.json")
    (tmp_path / "records" / "notes.txt").write_text("no record")
    places = [tmp_path / "records", tmp_path / "records" / "pi.json"]
    (found,) = recorded_checks(subjects, places)
    assert found.place == "pi.json"


def test_ignores_files_in_the_state_folder_that_are_not_records(subjects: list[Subject], committed: Bundle, tmp_path):
    verify(committed, engine="onnxruntime")
    (folder,) = (tmp_path / "state").rglob("verifications")
    (folder / "broken.json").write_text("{")
    assert len(recorded_checks(subjects)) == 1


def test_refuses_a_named_file_that_is_no_record_of_these_bundles(
    subjects: list[Subject], lying_bundle: Bundle, tmp_path: Path
):
    with pytest.raises(UsageError, match="does not exist: expected a verification record"):
        recorded_checks(subjects, [tmp_path / "missing.json"])
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(EdgecnnError, match="is not a verification record"):
        recorded_checks(subjects, [tmp_path / "broken.json"])
    verify(lying_bundle, engine="onnxruntime", record=tmp_path / "other" / "record.json")
    with pytest.raises(UsageError, match="is a record of another bundle"):
        recorded_checks(subjects, [tmp_path / "other" / "record.json"])
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    assert recorded_checks(subjects, [tmp_path / "other"]) == ()
