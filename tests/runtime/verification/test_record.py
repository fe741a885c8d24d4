"""Verification records: writing and reading, including the format of earlier versions."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.manifest import DataReference
from edgecnn.errors import EdgecnnError
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.verification.agreement import agree
from edgecnn.runtime.verification.batch_mates import BatchMates, BatchRun
from edgecnn.runtime.verification.record import FLIPS, VerificationRecord, read_record, write_record
from edgecnn.runtime.verification.replay import SelfTestResult, compare

LABELS = ("a", "b")


def record(flips: int = 2) -> VerificationRecord:
    """Return a verification record with `flips` flipped images and two others."""
    reference = np.array([[1 + i, 0] for i in range(flips + 2)], np.float32)
    logits = reference.copy()
    logits[2:, 1] += 1000 + flips
    targets = np.zeros(len(reference), np.int64)
    return VerificationRecord(
        bundle="b" * 64,
        name="lenet",
        measured="2026-01-01T00:00:00Z",
        session=SessionInfo("onnxruntime", "1", "cpu", "fp32", 2),
        self_test=SelfTestResult(32, 30, 0.1, 0.2, 4, ()),
        data=DataReference("letters", "test", len(reference), "d" * 64),
        reference="c" * 64,
        comparison=compare(reference, logits, targets),
        holds=False,
        agreement=agree(reference, logits, targets=targets, labels=LABELS, name_of=str),
        batch_mates=BatchMates(64, 0.05, (BatchRun(1, 2, 0.0, 0), BatchRun(3, 2, None, 64))),
    )


def test_reads_back_a_record(tmp_path: Path):
    write_record(tmp_path / "r.json", record())
    assert read_record(tmp_path / "r.json") == record()


def test_limits_the_recorded_flips(tmp_path: Path):
    everything = record(flips=FLIPS + 5)
    write_record(tmp_path / "r.json", everything)
    found = read_record(tmp_path / "r.json")
    assert found is not None
    assert found.agreement is not None
    assert everything.agreement is not None
    assert found.agreement.flipped == FLIPS + 5
    assert found.agreement.flips == everything.agreement.flips[:FLIPS]


def test_writes_a_record_without_a_comparison(tmp_path: Path):
    bare = dataclasses.replace(record(), data=None, reference=None, comparison=None, agreement=None, batch_mates=None)
    write_record(tmp_path / "r.json", bare)
    assert read_record(tmp_path / "r.json") == bare


def test_reads_a_record_without_classes(tmp_path: Path):
    write_record(tmp_path / "r.json", record())
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["agreement"].pop("per_class")["worst"]["label"] == "a"
    (tmp_path / "r.json").write_text(json.dumps(document))
    found = read_record(tmp_path / "r.json")
    assert found is not None
    assert found.agreement is not None
    assert found.agreement.per_class is None


def test_reads_a_record_of_an_earlier_version(tmp_path: Path):
    write_record(tmp_path / "r.json", record())
    document = json.loads((tmp_path / "r.json").read_text())
    del document["agreement"], document["batch_mates"]
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert read_record(tmp_path / "r.json") == dataclasses.replace(record(), agreement=None, batch_mates=None)


@pytest.mark.parametrize(
    ("place", "value"), [("agreement", {"flips": []}), ("batch_mates", 3), ("statistics", {}), ("holds", "yes")]
)
def test_rejects_other_documents(tmp_path: Path, place: str, value: object):
    write_record(tmp_path / "r.json", record())
    document = json.loads((tmp_path / "r.json").read_text()) | {place: value}
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(EdgecnnError, match=f"is not a verification record: .*{place}"):
        read_record(tmp_path / "r.json")
